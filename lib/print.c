/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * print.c - JSON and, by description, text for people: tables, "title: value" lines, counters, events.
 * Before it: the daemons' answers by way of control.h. Used by tools/ntmctl.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "print.h"

#define PATH_MAX_LEN 256 /* of a dotted key in ntm_print_flat: bytes */
#define GAP 2 /* blanks between columns */

/* ---- single values */

/* The bytes of the UTF-8 character at s that may go to a terminal; 0: a control character or malformed. */
static int printable_len(const unsigned char *s)
{
	uint32_t c = s[0];
	int len;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	c &= 0xffU >> (len + 1);
	for (int i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) /* the closing zero ends here too */
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* C1 controls; overlong forms, surrogates and what is beyond Unicode */
	if (c < 0xa0 || (len == 3 && c < 0x800) || (len == 4 && c < 0x10000) || (c >= 0xd800 && c < 0xe000) ||
	    c > 0x10ffff)
		return 0;
	return len;
}

void ntm_print_string(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		int len = printable_len(s);

		if (len)
			fwrite(s, 1, (size_t)len, out);
		else
			fputc('?', out);
		s += len ? len : 1;
	}
}

/* Characters, which are columns for the scripts of host names. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

static void write_plain(FILE *out, struct json_object *value)
{
	const char *between = "";

	switch (json_object_get_type(value)) {
	case json_type_null:
		fputc('-', out);
		break;
	case json_type_boolean:
		fputs(json_object_get_boolean(value) ? "yes" : "no", out);
		break;
	case json_type_string:
		ntm_print_string(out, json_object_get_string(value));
		break;
	case json_type_array:
		if (!json_object_array_length(value))
			fputc('-', out);
		for (size_t i = 0; i < json_object_array_length(value); i++, between = " ") {
			fputs(between, out);
			write_plain(out, json_object_array_get_idx(value, i));
		}
		break;
	case json_type_object: {
		if (!json_object_object_length(value))
			fputc('-', out);
		json_object_object_foreach(value, key, member) {
			fputs(between, out);
			ntm_print_string(out, key);
			fputc('=', out);
			write_plain(out, member);
			between = " ";
		}
		break;
	}
	default:
		fputs(json_object_to_json_string(value), out);
	}
}

static void write_bytes(FILE *out, double bytes, const char *per)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;

	/* 1023.95 would be printed as 1024.0 */
	while (bytes >= (unit ? 1023.95 : 1024.0) && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	fprintf(out, "%.*f %s%s", unit ? 1 : 0, bytes, units[unit], per);
}

static void write_ago(FILE *out, int64_t s)
{
	if (s < 60)
		fprintf(out, "%" PRId64 " s", s);
	else if (s < 3600)
		fprintf(out, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		fprintf(out, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	else
		fprintf(out, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

static bool is_number(struct json_object *value)
{
	return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

static void write_value(FILE *out, struct json_object *value, enum ntm_print_form form)
{
	double number;

	if (form == NTM_PRINT_YESNO && value) {
		fputs(json_object_get_boolean(value) ? "yes" : "no", out);
		return;
	}
	/* a form for numbers shows anything else as it is */
	if (form == NTM_PRINT_PLAIN || form == NTM_PRINT_COUNT || form == NTM_PRINT_LIST ||
	    form == NTM_PRINT_LINES || !is_number(value)) {
		write_plain(out, value);
		return;
	}
	number = json_object_get_double(value);
	if (!(number >= 0)) {
		fputc('-', out);
		return;
	}
	switch (form) {
	case NTM_PRINT_BYTES:
		write_bytes(out, number, "");
		break;
	case NTM_PRINT_RATE:
		write_bytes(out, number, "/s");
		break;
	case NTM_PRINT_MS:
		fprintf(out, "%.3f ms", number / 1000);
		break;
	case NTM_PRINT_AGO:
		write_ago(out, json_object_get_int64(value));
		break;
	case NTM_PRINT_PERCENT:
		fprintf(out, "%.1f %%", number / 10);
		break;
	default:
		write_plain(out, value);
	}
}

char *ntm_print_text(struct json_object *value, enum ntm_print_form form)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	write_value(out, value, form);
	if (fclose(out) || !text)
		abort();
	return text;
}

struct json_object *ntm_print_find(struct json_object *object, const char *key)
{
	struct json_object *value;
	const char *dot;
	char *head;

	if (!json_object_is_type(object, json_type_object))
		return NULL;
	if (json_object_object_get_ex(object, key, &value))
		return value;
	dot = strchr(key, '.');
	head = dot ? strndup(key, (size_t)(dot - key)) : NULL;
	if (!head)
		return NULL;
	if (!json_object_object_get_ex(object, head, &value))
		value = NULL;
	free(head);
	return ntm_print_find(value, dot + 1);
}

/* ---- JSON */

void ntm_print_json(FILE *out, enum ntm_print_mode mode, struct json_object *value)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	if (mode == NTM_PRINT_PRETTY)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	fprintf(out, "%s\n", json_object_to_json_string_ext(value, flags));
}

/* ---- tables */

static bool is_right(enum ntm_print_form form)
{
	return form == NTM_PRINT_BYTES || form == NTM_PRINT_MS || form == NTM_PRINT_AGO ||
	       form == NTM_PRINT_COUNT || form == NTM_PRINT_RATE || form == NTM_PRINT_PERCENT;
}

static void write_padded(FILE *out, const char *text, int width, bool right)
{
	int blanks = width - width_of(text);

	if (right)
		fprintf(out, "%*s%s", blanks > 0 ? blanks : 0, "", text);
	else
		fprintf(out, "%s%*s", text, blanks > 0 ? blanks : 0, "");
}

static int column_width(struct json_object *array, const struct ntm_print_column *column)
{
	int width = width_of(column->title);

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *row = json_object_array_get_idx(array, i);
		char *text = ntm_print_text(ntm_print_find(row, column->key), column->form);

		if (width_of(text) > width)
			width = width_of(text);
		free(text);
	}
	return width;
}

/* row NULL: the titles. The last column, if to the left, is not padded. */
static void write_row(FILE *out, struct json_object *row, const struct ntm_print_column *columns,
		      const int *width)
{
	for (int c = 0; columns[c].key; c++) {
		bool right = is_right(columns[c].form), last = !columns[c + 1].key;
		char *text = row ? ntm_print_text(ntm_print_find(row, columns[c].key), columns[c].form) :
				   strdup(columns[c].title);

		if (!text)
			abort();
		write_padded(out, text, last && !right ? 0 : width[c], right);
		fprintf(out, "%*s", last ? 0 : GAP, "");
		free(text);
	}
	fputc('\n', out);
}

void ntm_print_table(FILE *out, enum ntm_print_mode mode, struct json_object *array,
		     const struct ntm_print_column *columns, const char *empty)
{
	int count = 0;
	int *width;

	if (mode != NTM_PRINT_TEXT) {
		ntm_print_json(out, mode, array);
		return;
	}
	if (!json_object_is_type(array, json_type_array) || !json_object_array_length(array)) {
		fprintf(out, "%s\n", empty);
		return;
	}
	while (columns[count].key)
		count++;
	width = calloc((size_t)count + 1, sizeof(*width));
	if (!width)
		abort();
	for (int c = 0; c < count; c++)
		width[c] = column_width(array, &columns[c]);
	write_row(out, NULL, columns, width);
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *row = json_object_array_get_idx(array, i);

		if (row)
			write_row(out, row, columns, width);
	}
	free(width);
}

/* ---- objects as lines */

static bool is_shown(struct json_object *value)
{
	return value && !(json_object_is_type(value, json_type_array) && !json_object_array_length(value));
}

/* "title:" and its value; LINES continue below the first one. */
static void write_line(FILE *out, const struct ntm_print_column *column, struct json_object *value, int width)
{
	bool lines = column->form == NTM_PRINT_LINES && json_object_is_type(value, json_type_array);
	size_t count = lines ? json_object_array_length(value) : 1;

	for (size_t i = 0; i < count; i++) {
		struct json_object *part = lines ? json_object_array_get_idx(value, i) : value;
		char *text = ntm_print_text(part, column->form);
		int title = i ? 0 : width_of(column->title);

		fprintf(out, "%s%s%*s%s\n", i ? "" : column->title, i ? " " : ":", width + 1 - title, "",
			text);
		free(text);
	}
}

void ntm_print_object(FILE *out, enum ntm_print_mode mode, struct json_object *object,
		      const struct ntm_print_column *columns)
{
	int width = 0;

	if (mode != NTM_PRINT_TEXT) {
		ntm_print_json(out, mode, object);
		return;
	}
	for (const struct ntm_print_column *c = columns; c->key; c++)
		if (is_shown(ntm_print_find(object, c->key)) && width_of(c->title) > width)
			width = width_of(c->title);
	for (const struct ntm_print_column *c = columns; c->key; c++) {
		struct json_object *value = ntm_print_find(object, c->key);

		if (is_shown(value))
			write_line(out, c, value, width);
	}
}

/* ---- everything that an object holds */

/* Whether columns describe the key, alone ("dc") or as the object it leads into ("dc.name"). */
static bool is_described(const struct ntm_print_column *columns, const char *key)
{
	size_t len = strlen(key);

	for (; columns && columns->key; columns++)
		if (!strncmp(columns->key, key, len) && (!columns->key[len] || columns->key[len] == '.'))
			return true;
	return false;
}

/* Whether a value is opened up into lines of its own; arrays of scalars stand on one. */
static bool is_opened(struct json_object *value)
{
	if (json_object_is_type(value, json_type_object))
		return json_object_object_length(value) > 0;
	return json_object_is_type(value, json_type_array) && json_object_array_length(value) &&
	       json_object_is_type(json_object_array_get_idx(value, 0), json_type_object);
}

/* Both passes of ntm_print_flat: out NULL only measures. Returns the widest path below. */
static int walk_flat(FILE *out, struct json_object *value, const char *path, int width);

static int walk_member(FILE *out, struct json_object *value, const char *parent, const char *key, int width)
{
	char path[PATH_MAX_LEN];
	char *text;
	int wide;

	snprintf(path, sizeof(path), "%s%s%s", parent, *parent ? "." : "", key);
	if (is_opened(value))
		return walk_flat(out, value, path, width);
	wide = width_of(path);
	if (out) {
		text = ntm_print_text(value, NTM_PRINT_PLAIN);
		ntm_print_string(out, path);
		fprintf(out, "%*s%s\n", width > wide ? width - wide + GAP : GAP, "", text);
		free(text);
	}
	return wide;
}

static int walk_flat(FILE *out, struct json_object *value, const char *path, int width)
{
	int widest = 0, wide;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			char index[24];

			snprintf(index, sizeof(index), "%zu", i);
			wide = walk_member(out, json_object_array_get_idx(value, i), path, index, width);
			widest = wide > widest ? wide : widest;
		}
		return widest;
	}
	json_object_object_foreach(value, key, member) {
		wide = walk_member(out, member, path, key, width);
		widest = wide > widest ? wide : widest;
	}
	return widest;
}

void ntm_print_flat(FILE *out, enum ntm_print_mode mode, struct json_object *object,
		    const struct ntm_print_column *columns)
{
	int width = 0;

	if (mode != NTM_PRINT_TEXT) {
		ntm_print_json(out, mode, object);
		return;
	}
	if (!json_object_is_type(object, json_type_object))
		return;
	for (int pass = 0; pass < 2; pass++) {
		json_object_object_foreach(object, key, value) {
			int wide = 0;

			if (!is_described(columns, key))
				wide = walk_member(pass ? out : NULL, value, "", key, width);
			width = !pass && wide > width ? wide : width;
		}
	}
}

/* ---- events */

/* Local time with milliseconds. */
static void write_time(FILE *out, double seconds)
{
	int64_t ms;
	time_t whole;
	struct tm tm;
	char text[32];

	if (!(seconds >= 0 && seconds < 253402300800.0)) { /* to the end of the year 9999 */
		fputc('-', out);
		return;
	}
	ms = (int64_t)(seconds * 1000 + 0.5);
	whole = (time_t)(ms / 1000);
	if (!localtime_r(&whole, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		fputc('-', out);
	else
		fprintf(out, "%s.%03d", text, (int)(ms % 1000));
}

static void write_pair(FILE *out, const char *key, struct json_object *value)
{
	char *text = ntm_print_text(value, NTM_PRINT_PLAIN);
	const char *quote = !*text || strpbrk(text, " \"=") ? "\"" : "";

	fputc(' ', out);
	ntm_print_string(out, key);
	fprintf(out, "=%s%s%s", quote, text, quote);
	free(text);
}

void ntm_print_event(FILE *out, enum ntm_print_mode mode, struct json_object *event)
{
	if (mode != NTM_PRINT_TEXT || !json_object_is_type(event, json_type_object)) {
		ntm_print_json(out, mode, event);
		return;
	}
	if (ntm_print_find(event, "time")) {
		write_time(out, json_object_get_double(ntm_print_find(event, "time")));
		fputc(' ', out);
	}
	write_plain(out, ntm_print_find(event, "event"));
	json_object_object_foreach(event, key, value)
		if (strcmp(key, "time") && strcmp(key, "event"))
			write_pair(out, key, value);
	fputc('\n', out);
}
