/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * print.h - one print layer for text and JSON: commands produce JSON, and text is made from it by a
 * small description of the columns or lines. Used by tools/ntmctl.
 *
 * Much of what is printed came from the network: text never lets control characters or malformed UTF-8
 * through to the terminal ('?' stands for them); JSON is for programs, with its own escapes.
 */
#ifndef NTM_LIB_PRINT_H
#define NTM_LIB_PRINT_H

#include <json-c/json.h>
#include <stdio.h>

enum ntm_print_mode { NTM_PRINT_TEXT, NTM_PRINT_JSON, NTM_PRINT_PRETTY };

enum ntm_print_form { /* how text shows a value */
	NTM_PRINT_PLAIN, /* as it is; true and false as yes and no */
	NTM_PRINT_BYTES, /* 12.3 MiB */
	NTM_PRINT_MS, /* from microseconds: 1.234 ms */
	NTM_PRINT_AGO, /* from seconds: 3 min 2 s */
	NTM_PRINT_YESNO,
	NTM_PRINT_LIST, /* array of strings, separated by blanks */
	NTM_PRINT_LINES, /* array of strings, a line each in an object (in a table as LIST) */
	NTM_PRINT_COUNT, /* a number, to the right in tables */
	NTM_PRINT_RATE, /* from bytes per second: 12.3 MiB/s */
	NTM_PRINT_PERCENT, /* from parts per thousand: 12.5 % */
};

struct ntm_print_column {
	const char *key; /* in the JSON object; "dc.name" looks into the object "dc" */
	const char *title;
	enum ntm_print_form form;
};

/* Control characters, and what is no UTF-8, as question marks. */
void ntm_print_string(FILE *out, const char *text);
/* JSON, of one line or indented, with a newline; in text mode on one line as well. */
void ntm_print_json(FILE *out, enum ntm_print_mode mode, struct json_object *value);

/*
 * JSON: the document on one line or indented. Text: an array of objects as a table with titles (the sentence
 * empty if there are none). columns ends with a NULL key; absent and null values are "-".
 */
void ntm_print_table(FILE *out, enum ntm_print_mode mode, struct json_object *array,
		     const struct ntm_print_column *columns, const char *empty);

/*
 * JSON as above. Text: an object as "title: value" lines; columns ends with a NULL key; absent and null keys
 * and empty arrays are left out.
 */
void ntm_print_object(FILE *out, enum ntm_print_mode mode, struct json_object *object,
		      const struct ntm_print_column *columns);

/*
 * JSON as above. Text: every value in the object, objects and arrays inside opened up: "drops.replay  12".
 * Keys that columns (may be NULL) describes, at the top of the object, are left out.
 */
void ntm_print_flat(FILE *out, enum ntm_print_mode mode, struct json_object *object,
		    const struct ntm_print_column *columns);

/*
 * One event. JSON as above. Text: one line: "time" (seconds since 1970) as local time, "event", then the rest
 * as key=value.
 */
void ntm_print_event(FILE *out, enum ntm_print_mode mode, struct json_object *event);

/* One value as text shows it; "-" for NULL. To be freed; aborts if memory is exhausted. */
char *ntm_print_text(struct json_object *value, enum ntm_print_form form);

/* The value at a key, or at a path of keys with dots between them; NULL: absent or null. Borrowed. */
struct json_object *ntm_print_find(struct json_object *object, const char *key);

#endif
