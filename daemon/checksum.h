/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * checksum.h - the Internet checksum (RFC 1071) over inner packets, for segment.c and coalesce.c. Pure.
 *
 * Sums are kept in the machine's byte order: words are added as they lie in memory, and what comes out is
 * stored as it is (RFC 1071, section 2 (B)). Numbers that stand in no packet are added by ntmd_checksum_of.
 */
#ifndef NTMD_CHECKSUM_H
#define NTMD_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NTMD_CHECKSUM_LONG 128 /* bytes from which vectors are worth a call */
uint64_t ntmd_checksum_sum_long(const uint8_t *p, size_t len);

/* The sum of len bytes (at most 2^20), an odd one at the end counting as if a zero followed; below 2^48. */
static inline uint64_t ntmd_checksum_sum(const uint8_t *p, size_t len)
{
	uint64_t sum = 0, word;
	uint32_t half;
	uint16_t last = 0;

	if (len >= NTMD_CHECKSUM_LONG)
		return ntmd_checksum_sum_long(p, len);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		sum += (word & 0xffffffff) + (word >> 32);
	}
	if (len & 4) {
		memcpy(&half, p, 4);
		sum += half;
		p += 4;
	}
	if (len & 2) {
		memcpy(&last, p, 2);
		sum += last;
		p += 2;
	}
	last = 0;
	memcpy(&last, p, len & 1); /* the byte that comes first in memory, in any byte order */
	return sum + last;
}

/* The sum as 16 bits, not complemented. */
static inline uint16_t ntmd_checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* A 16-bit number as a word of a sum. */
static inline uint16_t ntmd_checksum_of(unsigned value)
{
	return htons((uint16_t)value);
}

static inline uint16_t ntmd_checksum_load(const uint8_t *p)
{
	uint16_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline void ntmd_checksum_store(uint8_t *p, uint16_t word)
{
	memcpy(p, &word, sizeof(word));
}

/*
 * The pseudo-header (RFC 793, RFC 8200 section 8.1) of a packet with these addresses (source and destination
 * behind each other: 8 or 32 bytes), transport protocol and length of transport header and payload.
 */
uint64_t ntmd_checksum_pseudo(const uint8_t *addresses, size_t addresses_len, uint8_t protocol, size_t len);

#endif
