/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * path_select.c - the direction table of doc/PROTOCOL.md as code: direct candidates by what both ends have,
 * relays by round trip and load, and a verdict for each, which `ntmctl path explain` shows.
 */
#include <string.h>

#include "dc/path_select.h"
#include "endpoint.h"

/* What an end's IPv4 looks like from outside. */
enum sight { SIGHT_NONE, SIGHT_OPEN, SIGHT_NATED };

static bool observed4_is_own(const struct dc_select_end *end)
{
	for (unsigned i = 0; i < end->reals; i++)
		if (ntm_addr_equal(&end->real[i].addr, &end->observed4.addr))
			return true;
	return false;
}

static bool has_real(const struct dc_select_end *end, bool is4, bool must_be_global)
{
	for (unsigned i = 0; i < end->reals; i++)
		if (ntm_endpoint_is4(&end->real[i]) == is4 &&
		    (must_be_global ? ntm_addr_is_global(&end->real[i].addr)
				    : ntm_addr_is_usable(&end->real[i].addr)))
			return true;
	return false;
}

/* An end the DC never heard over IPv4 is believed to be open if it has a global address. */
static enum sight sight4(const struct dc_select_end *end)
{
	if (ntm_endpoint_is_none(&end->observed4))
		return has_real(end, true, true) ? SIGHT_OPEN : SIGHT_NONE;
	return observed4_is_own(end) ? SIGHT_OPEN : SIGHT_NATED;
}

enum ntm_nat dc_path_select_nat(const struct dc_select_end *end)
{
	switch (sight4(end)) {
	case SIGHT_OPEN:
		return NTM_NAT_NONE;
	case SIGHT_NATED:
		return end->nat == NTM_NAT_HARD	  ? NTM_NAT_HARD
		       : end->nat == NTM_NAT_EASY ? NTM_NAT_EASY
						  : NTM_NAT_UNKNOWN;
	case SIGHT_NONE:
		break;
	}
	return NTM_NAT_UNKNOWN;
}

static void candidate_add(struct dc_selection *sel, int to, enum ntm_route_kind kind,
			  const struct ntm_endpoint *endpoint)
{
	for (unsigned i = 0; i < sel->candidates[to]; i++)
		if (ntm_endpoint_equal(&sel->candidate[to][i].endpoint, endpoint))
			return;
	if (sel->candidates[to] < NTM_CANDIDATES_MAX)
		sel->candidate[to][sel->candidates[to]++] =
			(struct ntm_candidate){.kind = (uint8_t)kind, .endpoint = *endpoint};
}

static void verdict_add(struct dc_selection *sel, enum ntm_route_kind kind, enum ntm_why why,
			const char *name)
{
	struct ntm_verdict *verdict = &sel->verdict[sel->verdicts];

	if (sel->verdicts == NTM_VERDICTS_MAX)
		return;
	sel->verdicts++;
	*verdict = (struct ntm_verdict){.kind = (uint8_t)kind, .why = (uint8_t)why};
	if (name)
		memcpy(verdict->name, name, strnlen(name, NTM_FQDN_MAX));
}

/* Tells `to` the other end's own addresses: global ones, or with private those of its site. */
static void reals_add(struct dc_selection *sel, int to, enum ntm_route_kind kind,
		      const struct dc_select_end *other, bool is4, bool private)
{
	for (unsigned i = 0; i < other->reals; i++) {
		const struct ntm_endpoint *real = &other->real[i];

		if (ntm_endpoint_is4(real) == is4 && ntm_addr_is_usable(&real->addr) &&
		    ntm_addr_is_global(&real->addr) != private)
			candidate_add(sel, to, kind, real);
	}
}

/* An open end's IPv4: first the address it was seen with, at the port it registered, then its other global
 * ones. */
static void open4_add(struct dc_selection *sel, int to, enum ntm_route_kind kind,
		      const struct dc_select_end *other)
{
	for (unsigned i = 0; i < other->reals; i++)
		if (!ntm_endpoint_is_none(&other->observed4) &&
		    ntm_addr_equal(&other->real[i].addr, &other->observed4.addr))
			candidate_add(sel, to, kind, &other->real[i]);
	reals_add(sel, to, kind, other, true, false);
}

static void direct6(struct dc_selection *sel, const struct dc_select_end *mn, const struct dc_select_end *cn)
{
	if (!has_real(mn, false, true) || !has_real(cn, false, true)) {
		verdict_add(sel, NTM_ROUTE_DIRECT6,
			    has_real(mn, false, true) ? NTM_WHY_NO_ADDRESS_CN : NTM_WHY_NO_ADDRESS_MN, NULL);
		return;
	}
	reals_add(sel, 0, NTM_ROUTE_DIRECT6, cn, false, false);
	reals_add(sel, 1, NTM_ROUTE_DIRECT6, mn, false, false);
	verdict_add(sel, NTM_ROUTE_DIRECT6, NTM_WHY_CANDIDATE, NULL);
}

static enum ntm_why direct4(struct dc_selection *sel, const struct dc_select_end *mn,
			    const struct dc_select_end *cn)
{
	enum sight m = sight4(mn), c = sight4(cn);

	if (m == SIGHT_NATED && c == SIGHT_NATED)
		return NTM_WHY_BOTH_NAT;
	if (m != SIGHT_OPEN)
		return NTM_WHY_NO_ADDRESS_MN;
	if (c != SIGHT_OPEN)
		return NTM_WHY_NO_ADDRESS_CN;
	open4_add(sel, 0, NTM_ROUTE_DIRECT4, cn);
	open4_add(sel, 1, NTM_ROUTE_DIRECT4, mn);
	return NTM_WHY_CANDIDATE;
}

static enum ntm_why private4(struct dc_selection *sel, const struct dc_select_end *mn,
			     const struct dc_select_end *cn)
{
	enum sight m = sight4(mn), c = sight4(cn);

	if (m == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_MN;
	if (c == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_CN;
	if (m == SIGHT_OPEN && c == SIGHT_OPEN)
		return NTM_WHY_NO_NAT;
	if (m != c || !ntm_addr_equal(&mn->observed4.addr, &cn->observed4.addr))
		return NTM_WHY_OTHER_NAT;
	reals_add(sel, 0, NTM_ROUTE_PRIVATE4, cn, true, true);
	reals_add(sel, 1, NTM_ROUTE_PRIVATE4, mn, true, true);
	return NTM_WHY_CANDIDATE;
}

/* The end behind the NAT opens it towards the other; a full-cone NAT lets the other one in besides. */
static enum ntm_why nat4(struct dc_selection *sel, const struct dc_select_end *mn,
			 const struct dc_select_end *cn)
{
	enum sight m = sight4(mn), c = sight4(cn);

	if (m == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_MN;
	if (c == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_CN;
	if (m == c)
		return m == SIGHT_OPEN ? NTM_WHY_NO_NAT : NTM_WHY_BOTH_NAT;
	if (m == SIGHT_NATED) {
		open4_add(sel, 0, NTM_ROUTE_NAT4, cn);
		candidate_add(sel, 1, NTM_ROUTE_NAT4, &mn->observed4);
	} else {
		candidate_add(sel, 0, NTM_ROUTE_NAT4, &cn->observed4);
		open4_add(sel, 1, NTM_ROUTE_NAT4, mn);
	}
	return NTM_WHY_CANDIDATE;
}

static enum ntm_why punch4(struct dc_selection *sel, const struct dc_select_end *mn,
			   const struct dc_select_end *cn)
{
	enum sight m = sight4(mn), c = sight4(cn);

	if (m == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_MN;
	if (c == SIGHT_NONE)
		return NTM_WHY_NO_ADDRESS_CN;
	if (m == SIGHT_OPEN || c == SIGHT_OPEN)
		return NTM_WHY_NO_NAT;
	if (mn->nat == NTM_NAT_HARD || cn->nat == NTM_NAT_HARD)
		return NTM_WHY_HARD_NAT;
	candidate_add(sel, 0, NTM_ROUTE_PUNCH4, &cn->observed4);
	candidate_add(sel, 1, NTM_ROUTE_PUNCH4, &mn->observed4);
	return NTM_WHY_CANDIDATE;
}

/*
 * What `to` cannot reach now, having no address of that family: after a move it may, and then needs neither
 * the DC nor the relay to find the other end.
 */
static void later_add(struct dc_selection *sel, int to, const struct dc_select_end *end,
		      const struct dc_select_end *other)
{
	if (!has_real(end, false, false))
		reals_add(sel, to, NTM_ROUTE_DIRECT6, other, false, false);
	if (sight4(end) == SIGHT_NONE && sight4(other) == SIGHT_OPEN)
		open4_add(sel, to, NTM_ROUTE_DIRECT4, other);
}

static bool end_reaches(const struct dc_select_end *end, const struct dc_select_relay *relay)
{
	bool has4 = !ntm_endpoint_is_none(&end->observed4) || has_real(end, true, false);
	bool has6 = !ntm_endpoint_is_none(&end->observed6) || has_real(end, false, false);

	return (has4 && relay->has4) || (has6 && relay->has6);
}

/*
 * Round trip of both legs times load: a relay on half of its core counts half as much again, and one near its
 * limit is hardly ever the best. At least 1 ms a leg, so that load decides among near ones. Less is better.
 */
static uint64_t relay_cost(const struct dc_select_relay *relay, uint32_t mn_us, uint32_t cn_us, bool held)
{
	uint64_t cpu = relay->cpu_permille < 2000 ? relay->cpu_permille : 2000;
	uint64_t load = 1000 + cpu + (cpu > 800 ? (cpu - 800) * 10 : 0);
	uint64_t legs = 0;
	const uint32_t leg[2] = {mn_us, cn_us};

	for (int i = 0; i < 2; i++)
		legs += !leg[i] ? DC_RTT_UNKNOWN_US : leg[i] < 1000 ? 1000 : leg[i];
	return legs * load * (held ? 3 : 4);
}

static void relays_order(struct dc_selection *sel, const struct dc_select_end *mn,
			 const struct dc_select_end *cn, const struct dc_select_relay *relay, unsigned relays,
			 int held)
{
	uint64_t cost[DC_RELAYS_MAX];

	for (unsigned i = 0; i < relays && i < DC_RELAYS_MAX; i++) {
		unsigned at = sel->relays;

		if (!relay[i].alive || !end_reaches(mn, &relay[i]) || !end_reaches(cn, &relay[i]) ||
		    (relay[i].draining && (int)i != held))
			continue;
		cost[i] = relay[i].draining ? UINT64_MAX
					    : relay_cost(&relay[i], mn->relay_rtt_us[i], cn->relay_rtt_us[i],
							 (int)i == held);
		for (; at > 0 && cost[sel->relay[at - 1]] > cost[i]; at--)
			sel->relay[at] = sel->relay[at - 1];
		sel->relay[at] = (uint8_t)i;
		sel->relays++;
	}
}

static enum ntm_why relay_why(const struct dc_select_relay *relay)
{
	if (!relay->alive)
		return NTM_WHY_RELAY_DOWN;
	return relay->draining ? NTM_WHY_RELAY_DRAINING : NTM_WHY_RELAY_FAMILY;
}

static void relays_explain(struct dc_selection *sel, const struct dc_select_relay *relay, unsigned relays)
{
	if (!relays)
		verdict_add(sel, NTM_ROUTE_RELAY, NTM_WHY_NO_RELAY, NULL);
	for (unsigned i = 0; i < sel->relays; i++)
		verdict_add(sel, NTM_ROUTE_RELAY,
			    !i ? NTM_WHY_STANDBY
			    : relay[sel->relay[i]].draining ? NTM_WHY_RELAY_DRAINING
							    : NTM_WHY_RELAY_SLOWER,
			    relay[sel->relay[i]].name);
	for (unsigned i = 0; i < relays && i < DC_RELAYS_MAX; i++)
		if (!memchr(sel->relay, (int)i, sel->relays))
			verdict_add(sel, NTM_ROUTE_RELAY, relay_why(&relay[i]), relay[i].name);
}

void dc_path_select(struct dc_selection *ret_selection, const struct dc_select_end *mn,
		    const struct dc_select_end *cn, const struct dc_select_relay *relay, unsigned relays,
		    int held)
{
	struct dc_selection *sel = ret_selection;

	*sel = (struct dc_selection){0};
	direct6(sel, mn, cn);
	verdict_add(sel, NTM_ROUTE_DIRECT4, direct4(sel, mn, cn), NULL);
	verdict_add(sel, NTM_ROUTE_PRIVATE4, private4(sel, mn, cn), NULL);
	verdict_add(sel, NTM_ROUTE_NAT4, nat4(sel, mn, cn), NULL);
	verdict_add(sel, NTM_ROUTE_PUNCH4, punch4(sel, mn, cn), NULL);
	sel->direct = sel->candidates[0] || sel->candidates[1];
	later_add(sel, 0, mn, cn);
	later_add(sel, 1, cn, mn);
	relays_order(sel, mn, cn, relay, relays, held);
	relays_explain(sel, relay, relays);
}
