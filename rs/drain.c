/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * drain.c - `ntmctl rs drain`: this relay takes no new paths, tells its DCs so (keepalive.c), which direct
 * the paths it has to other relays (dc/relay.c) and withdraw them here; and ends when the last one is gone.
 */
#include "log.h"
#include "loop.h"
#include "rs.h"

void rs_drain_set(struct rs *rs, bool draining)
{
	if (rs->draining != draining) {
		rs->draining = draining;
		if (draining)
			ntm_notice("draining: %u paths are left", rs->paths.count);
		else
			ntm_notice("not draining any more");
		rs_control_rs_event(rs, draining ? "draining" : "drain_cancelled");
		rs_keepalive_report(rs);
	}
	if (draining && !rs->paths.count)
		ntm_timer_set_ms(rs->sweep, 0); /* not here: whoever asked is still to be answered */
}

void rs_drain_check(struct rs *rs)
{
	if (!rs->draining || rs->paths.count)
		return;
	ntm_notice("drained: no paths are left");
	rs_control_rs_event(rs, "drained");
	rs_xdp_detach(rs);
	event_base_loopexit(rs->base, NULL);
}
