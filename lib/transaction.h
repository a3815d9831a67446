/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * transaction.h - one object for everything that is sent again until it is answered: requests in sessions
 * (session.c), handshakes (session_handshake.c, daemon/tunnel.c), binds (daemon/relay_bind.c).
 *
 * The policy (when again, when given up) is pure and stands first; the timer around it is libevent's.
 */
#ifndef NTM_LIB_TRANSACTION_H
#define NTM_LIB_TRANSACTION_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include <ntm/limits.h>

/* A measured round trip (RFC 6298): smoothed, and its variation, microseconds. Zeroed: not measured. */
struct ntm_rtt {
	uint32_t srtt_us, var_us;
};

void ntm_rtt_add(struct ntm_rtt *rtt, uint32_t sample_us);

/*
 * How long to wait after the tries-th transmission (1, 2, ...), microseconds: the measured round trip's
 * timeout, or NTM_RTO_FIRST_MS, doubled for each further one, within NTM_RTO_MIN_MS and NTM_RTO_MAX_MS, and
 * up to a quarter more by jitter (0..1023).
 */
int64_t ntm_transaction_wait_us(const struct ntm_rtt *rtt, unsigned tries, unsigned jitter);

struct ntm_transaction {
	struct ntm_rtt *rtt; /* measured by it; may be NULL */
	struct event *timer;
	int64_t first_us, last_us, deadline_us;
	unsigned tries; /* 0: not running */
	void (*send)(struct ntm_transaction *transaction, void *arg); /* transmit (again) */
	void (*timeout)(struct ntm_transaction *transaction, void *arg); /* given up; not running any more */
	void *arg;
};

/* 0 or -ENOMEM. Does not start. */
int ntm_transaction_init(struct ntm_transaction *transaction, struct event_base *base, struct ntm_rtt *rtt,
			 void (*send)(struct ntm_transaction *transaction, void *arg),
			 void (*timeout)(struct ntm_transaction *transaction, void *arg), void *arg);
/* Sends at once, then again until answered, stopped, or timeout_ms are over. Restarts if it runs. */
void ntm_transaction_start(struct ntm_transaction *transaction, int64_t timeout_ms);
/* Sends at once and begins the backoff anew, with the deadline as it is (the network just changed). */
void ntm_transaction_kick(struct ntm_transaction *transaction);
/* The answer came: stops, and measures the round trip if it was sent only once (Karn). */
void ntm_transaction_answered(struct ntm_transaction *transaction);
void ntm_transaction_stop(struct ntm_transaction *transaction);
void ntm_transaction_clear(struct ntm_transaction *transaction);
static inline bool ntm_transaction_running(const struct ntm_transaction *transaction)
{
	return transaction->tries > 0;
}

#endif
