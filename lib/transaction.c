/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * transaction.c - when to send again, and when to give up. The policy is pure; the rest hangs it on a timer.
 */
#include "transaction.h"

#include <errno.h>
#include <string.h>

#include "crypto.h"
#include "loop.h"

void ntm_rtt_add(struct ntm_rtt *rtt, uint32_t sample_us)
{
	uint32_t delta;

	if (!sample_us)
		sample_us = 1; /* zero means "not measured" */
	if (!rtt->srtt_us) {
		rtt->srtt_us = sample_us;
		rtt->var_us = sample_us / 2;
		return;
	}
	delta = rtt->srtt_us > sample_us ? rtt->srtt_us - sample_us : sample_us - rtt->srtt_us;
	rtt->var_us = (uint32_t)((3ULL * rtt->var_us + delta) / 4);
	rtt->srtt_us = (uint32_t)((7ULL * rtt->srtt_us + sample_us) / 8);
	if (!rtt->srtt_us)
		rtt->srtt_us = 1;
}

int64_t ntm_transaction_wait_us(const struct ntm_rtt *rtt, unsigned tries, unsigned jitter)
{
	int64_t wait = NTM_RTO_FIRST_MS * 1000LL;

	if (rtt && rtt->srtt_us)
		wait = (int64_t)rtt->srtt_us + 4LL * rtt->var_us;
	if (wait < NTM_RTO_MIN_MS * 1000LL)
		wait = NTM_RTO_MIN_MS * 1000LL;
	for (unsigned i = 1; i < tries && wait < NTM_RTO_MAX_MS * 1000LL; i++)
		wait *= 2;
	if (wait > NTM_RTO_MAX_MS * 1000LL)
		wait = NTM_RTO_MAX_MS * 1000LL;
	return wait + wait / 4 * (jitter & 1023) / 1024;
}

static void transmit(struct ntm_transaction *transaction)
{
	int64_t wait, left;

	transaction->tries++;
	transaction->last_us = ntm_loop_now_us();
	wait = ntm_transaction_wait_us(transaction->rtt, transaction->tries, ntm_crypto_random_below(1024));
	left = transaction->deadline_us - transaction->last_us;
	ntm_timer_set_ms(transaction->timer, ((wait < left ? wait : left) + 999) / 1000);
	/* Last: the callback may stop, restart or clear the transaction. */
	transaction->send(transaction, transaction->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ntm_transaction *transaction = arg;

	(void)fd;
	(void)what;
	if (ntm_loop_now_us() >= transaction->deadline_us) {
		transaction->tries = 0;
		transaction->timeout(transaction, transaction->arg);
		return;
	}
	transmit(transaction);
}

int ntm_transaction_init(struct ntm_transaction *transaction, struct event_base *base, struct ntm_rtt *rtt,
			 void (*send)(struct ntm_transaction *transaction, void *arg),
			 void (*timeout)(struct ntm_transaction *transaction, void *arg), void *arg)
{
	memset(transaction, 0, sizeof(*transaction));
	transaction->rtt = rtt;
	transaction->send = send;
	transaction->timeout = timeout;
	transaction->arg = arg;
	transaction->timer = ntm_timer_new(base, on_timer, transaction);
	return transaction->timer ? 0 : -ENOMEM;
}

void ntm_transaction_start(struct ntm_transaction *transaction, int64_t timeout_ms)
{
	transaction->tries = 0;
	transaction->first_us = ntm_loop_now_us();
	transaction->deadline_us = transaction->first_us + timeout_ms * 1000;
	transmit(transaction);
}

void ntm_transaction_kick(struct ntm_transaction *transaction)
{
	if (!ntm_transaction_running(transaction))
		return;
	/* One more than a first transmission, so that the round trip is not measured by it (Karn). */
	transaction->tries = 1;
	transmit(transaction);
}

void ntm_transaction_answered(struct ntm_transaction *transaction)
{
	if (transaction->tries == 1 && transaction->rtt)
		ntm_rtt_add(transaction->rtt, (uint32_t)(ntm_loop_now_us() - transaction->first_us));
	ntm_transaction_stop(transaction);
}

void ntm_transaction_stop(struct ntm_transaction *transaction)
{
	transaction->tries = 0;
	if (transaction->timer)
		event_del(transaction->timer);
}

void ntm_transaction_clear(struct ntm_transaction *transaction)
{
	if (transaction->timer)
		event_free(transaction->timer);
	memset(transaction, 0, sizeof(*transaction));
}
