/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * inherit.c - what an earlier ntm-rs left in pinned maps: which paths there are, of which DC, and where their
 * legs are bound. XDP has forwarded them all the time, so the new ntm-rs must serve them too, above all for
 * binds; but the leg keys were only in the memory of the old one. The DC sees a new boot ID and directs all
 * paths again, with keys; until then nobody can move a leg.
 *
 * Maps of another layout are read by the names of their fields (BTF), which stay when offsets change, or when
 * fields go from one map to another.
 * Called by xdp.c; the entries go into the table of path.c, and by relay_map.c into the maps.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "log.h"
#include "loop.h"
#include "relay_map.h"
#include "rs.h"

#define CHUNK 4096 /* entries read by one system call */
#define LOCALS_MAX 256 /* entries of rs_local in any layout */
#define VALUE_MAX 512 /* bytes of a value of any layout */

/* Where a layout has what we need: offsets in bytes. */
struct layout {
	uint32_t remote[2], local[2]; /* by side: struct ntm_endpoint, number in rs_local */
	uint32_t local_len; /* of that number: 1 or 2 bytes */
	uint32_t dc;
	bool has_state; /* there is rs_state with rate and expires, at `slot`; else they are in rs_paths */
	uint32_t slot, rate, expires;
	uint32_t at; /* in a value of rs_local: struct ntm_endpoint */
};

#define LEG(member, side) \
	(offsetof(struct ntm_relay_path, leg) + (side) * sizeof(struct ntm_relay_leg) + \
	 offsetof(struct ntm_relay_leg, member))

static const struct layout own_layout = {
	.remote = {LEG(remote, 0), LEG(remote, 1)},
	.local = {LEG(local, 0), LEG(local, 1)},
	.local_len = sizeof(((struct ntm_relay_leg *)0)->local),
	.dc = offsetof(struct ntm_relay_path, dc),
	.has_state = true,
	.slot = offsetof(struct ntm_relay_path, slot),
	.rate = offsetof(struct ntm_relay_state, rate),
	.expires = offsetof(struct ntm_relay_state, expires),
	.at = offsetof(struct ntm_relay_local, at),
};

/* ---- layouts by BTF */

/* A member of a structure: its type, offset and size; false if there is none of that name and size. */
static bool member_find(const struct btf *btf, int type, const char *name, uint32_t size, int *ret_type,
			uint32_t *ret_offset)
{
	const struct btf_type *t = btf__type_by_id(btf, (__u32)type);
	const struct btf_member *m;

	if (!t || !btf_is_struct(t))
		return false;
	m = btf_members(t);
	for (__u32 i = 0; i < btf_vlen(t); i++) {
		const char *n = btf__name_by_offset(btf, m[i].name_off);

		if (!n || strcmp(n, name) || btf__resolve_size(btf, m[i].type) != size)
			continue;
		*ret_offset = btf_member_bit_offset(t, i) / 8;
		*ret_type = btf__resolve_type(btf, m[i].type);
		return *ret_type > 0;
	}
	return false;
}

/* leg[2]: the type of one and where both begin. */
static bool legs_find(const struct btf *btf, int type, int *ret_type, uint32_t ret_offset[2])
{
	const struct btf_type *t = btf__type_by_id(btf, (__u32)type);
	const struct btf_member *m;

	if (!t || !btf_is_struct(t))
		return false;
	m = btf_members(t);
	for (__u32 i = 0; i < btf_vlen(t); i++) {
		const char *n = btf__name_by_offset(btf, m[i].name_off);
		const struct btf_type *array = btf__type_by_id(btf, m[i].type);
		__s64 size;

		if (!n || strcmp(n, "leg") || !array || !btf_is_array(array) || btf_array(array)->nelems != 2)
			continue;
		size = btf__resolve_size(btf, btf_array(array)->type);
		if (size <= 0)
			return false;
		ret_offset[0] = btf_member_bit_offset(t, i) / 8;
		ret_offset[1] = ret_offset[0] + (uint32_t)size;
		*ret_type = btf__resolve_type(btf, btf_array(array)->type);
		return *ret_type > 0;
	}
	return false;
}

static struct btf *map_btf(int fd, int *ret_type)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || !info.btf_id || info.value_size > VALUE_MAX)
		return NULL;
	*ret_type = (int)info.btf_value_type_id;
	return btf__load_from_kernel_by_id(info.btf_id);
}

static bool path_layout(const struct btf *btf, int type, struct layout *layout)
{
	uint32_t leg[2];
	int leg_type, ignored;

	if (!legs_find(btf, type, &leg_type, leg) ||
	    !member_find(btf, leg_type, "remote", sizeof(struct ntm_endpoint), &ignored, &layout->remote[0]))
		return false;
	for (layout->local_len = 1; layout->local_len <= 2; layout->local_len++) {
		if (member_find(btf, leg_type, "local", layout->local_len, &ignored, &layout->local[0]))
			break;
	}
	if (layout->local_len > 2)
		return false;
	layout->remote[1] = leg[1] + layout->remote[0];
	layout->remote[0] += leg[0];
	layout->local[1] = leg[1] + layout->local[0];
	layout->local[0] += leg[0];
	return member_find(btf, type, "dc", sizeof(uint32_t), &ignored, &layout->dc);
}

/* In a value of rs_paths, or of rs_state. */
static bool settings_layout(const struct btf *btf, int type, struct layout *layout)
{
	int ignored;

	return member_find(btf, type, "rate", sizeof(uint64_t), &ignored, &layout->rate) &&
	       member_find(btf, type, "expires", sizeof(uint32_t), &ignored, &layout->expires);
}

static bool state_layout(const struct btf *paths, int paths_type, int state_fd, struct layout *layout)
{
	int type, ignored;
	struct btf *state = state_fd < 0 ? NULL : map_btf(state_fd, &type);

	layout->has_state = state && settings_layout(state, type, layout) &&
			    member_find(paths, paths_type, "slot", sizeof(uint32_t), &ignored, &layout->slot);
	btf__free(state);
	return layout->has_state;
}

static int layout_find(struct layout *layout, const struct rs_inherit_fds *fds)
{
	int paths_type, local_type, ignored;
	struct btf *paths = map_btf(fds->paths, &paths_type), *local = map_btf(fds->local, &local_type);
	bool found = paths && local && path_layout(paths, paths_type, layout) &&
		     (settings_layout(paths, paths_type, layout) ||
		      state_layout(paths, paths_type, fds->state, layout)) &&
		     member_find(local, local_type, "at", sizeof(struct ntm_endpoint), &ignored, &layout->at);

	btf__free(paths);
	btf__free(local);
	return found ? 0 : -EMEDIUMTYPE;
}

/* ---- entries */

struct inherit {
	struct rs *rs;
	struct rs_relay_map *map;
	const struct layout *layout;
	bool own; /* these are the maps in use now */
	struct rs_inherit_fds fd;
	int64_t now_ms;
	int count;
	/* Entries of rs_local: as flows without a remote end, and whether we still listen there. */
	struct ntm_flow local[LOCALS_MAX];
	bool listens[LOCALS_MAX];
};

static void endpoint_read(struct ntm_endpoint *ret, const uint8_t *value, uint32_t offset)
{
	memcpy(ret, value + offset, sizeof(*ret));
}

/* The flow of a leg, if we still listen where it bound itself. */
static bool leg_read(const struct inherit *inherit, const uint8_t *value, unsigned side,
		     struct ntm_flow *ret_flow)
{
	struct ntm_endpoint remote;
	uint16_t number;
	uint8_t byte;

	endpoint_read(&remote, value, inherit->layout->remote[side]);
	memset(ret_flow, 0, sizeof(*ret_flow));
	if (!remote.port)
		return true;
	memcpy(&byte, value + inherit->layout->local[side], sizeof(byte));
	number = byte;
	if (inherit->layout->local_len == sizeof(number))
		memcpy(&number, value + inherit->layout->local[side], sizeof(number));
	if (number >= LOCALS_MAX || !inherit->listens[number])
		return false;
	*ret_flow = inherit->local[number];
	ret_flow->remote = remote;
	return true;
}

static void locals_read(struct inherit *inherit)
{
	uint8_t value[VALUE_MAX];
	struct ntm_endpoint at;

	for (uint32_t i = 0; i < LOCALS_MAX && !bpf_map_lookup_elem(inherit->fd.local, &i, value); i++) {
		endpoint_read(&at, value, inherit->layout->at);
		inherit->listens[i] = at.port && rs_user_relay_flow(inherit->rs, &at, &inherit->local[i]);
	}
}

static struct rs_dc *dc_find(const struct rs *rs, const uint8_t *tag)
{
	struct rs_dc *dc;

	LIST_FOREACH (dc, &rs->dcs, entry) {
		if (!memcmp(dc->peer.key, tag, sizeof(uint32_t)))
			return dc;
	}
	return NULL;
}

/* Rate and expiry of a path. */
static bool settings_read(const struct inherit *inherit, const uint8_t *value, uint64_t *ret_rate,
			  uint32_t *ret_expires)
{
	const struct layout *layout = inherit->layout;
	uint8_t state[VALUE_MAX];
	uint32_t slot;

	if (layout->has_state) {
		memcpy(&slot, value + layout->slot, sizeof(slot));
		if (bpf_map_lookup_elem(inherit->fd.state, &slot, state))
			return false;
		value = state;
	}
	memcpy(ret_rate, value + layout->rate, sizeof(*ret_rate));
	memcpy(ret_expires, value + layout->expires, sizeof(*ret_expires));
	return true;
}

static bool path_take(struct inherit *inherit, uint64_t id, const uint8_t *value)
{
	struct rs *rs = inherit->rs;
	struct rs_path_left left = {.id = id};
	struct rs_dc *dc = dc_find(rs, value + inherit->layout->dc);
	uint32_t expires;

	if (!dc || !settings_read(inherit, value, &left.rate, &expires))
		return false;
	left.expires_ms = rs_relay_map_tick_ms(expires);
	if (left.expires_ms <= inherit->now_ms || !leg_read(inherit, value, 0, &left.bound[0]) ||
	    !leg_read(inherit, value, 1, &left.bound[1]))
		return false;
	/* Nothing to lose in a path without legs; it would only have to be forgotten. */
	if (!left.bound[0].remote.port && !left.bound[1].remote.port)
		return false;
	return !rs_path_inherit(&rs->paths, &left, dc, inherit->now_ms);
}

static void entry_take(struct inherit *inherit, uint64_t id, const uint8_t *value)
{
	const struct ntm_relay_path *entry = (const struct ntm_relay_path *)value;
	struct rs_path *path;
	bool taken;

	if (inherit->own && rs_relay_map_keep(inherit->map, id, entry)) {
		bpf_map_delete_elem(inherit->fd.paths, &id); /* its slot is another's */
		return;
	}
	taken = path_take(inherit, id, value);
	inherit->count += taken;
	if (!taken && inherit->own)
		rs_relay_map_remove(inherit->map, id);
	path = taken ? rs_path_find(&inherit->rs->paths, id, inherit->now_ms) : NULL;
	if (!path)
		return;
	/* Of other sources than the bound ones we know nothing: they count no more. */
	rs_relay_map_put(inherit->map, path, inherit->now_ms);
}

/* All keys first: while entries go, the order of the others may change. */
static int keys_read(int fd, uint64_t **ret_keys, uint32_t *ret_count)
{
	uint64_t *keys = NULL, *more, key, *at = NULL;
	uint32_t count = 0, room = 0;

	while (!bpf_map_get_next_key(fd, at, &key)) {
		if (count == room) {
			room = room ? 2 * room : CHUNK;
			more = room > 2 * NTM_RELAY_PATHS_MAX ? NULL : realloc(keys, room * sizeof(*keys));
			if (!more) {
				free(keys);
				return -ENOMEM;
			}
			keys = more;
		}
		keys[count] = key;
		at = &keys[count++];
	}
	*ret_keys = keys;
	*ret_count = count;
	return 0;
}

static int inherit_all(struct inherit *inherit)
{
	_Alignas(struct ntm_relay_path) uint8_t value[VALUE_MAX];
	uint64_t *keys;
	uint32_t count;
	int err = keys_read(inherit->fd.paths, &keys, &count);

	if (err)
		return err;
	inherit->now_ms = ntm_loop_now_ms();
	locals_read(inherit);
	for (uint32_t i = 0; i < count; i++) {
		if (!bpf_map_lookup_elem(inherit->fd.paths, &keys[i], value))
			entry_take(inherit, keys[i], value);
	}
	free(keys);
	return inherit->count;
}

int rs_inherit_own(struct rs *rs, struct rs_relay_map *map, const struct rs_inherit_fds *fds)
{
	struct inherit inherit = {.rs = rs, .map = map, .layout = &own_layout, .own = true, .fd = *fds};
	int n = inherit_all(&inherit);

	rs_relay_map_kept(map);
	return n;
}

int rs_inherit_other(struct rs *rs, struct rs_relay_map *map, const struct rs_inherit_fds *fds)
{
	struct layout layout = {0};
	struct inherit inherit = {.rs = rs, .map = map, .layout = &layout, .fd = *fds};
	int err = layout_find(&layout, fds);

	return err ? err : inherit_all(&inherit);
}
