/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * test_print.c - lib/print.c: text and JSON from the same objects, byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "print.h"

static struct json_object *parsed(const char *json)
{
	struct json_object *value = json_tokener_parse(json);

	assert_non_null(value);
	return value;
}

/* ---- what was printed */

static char *printed;
static size_t printed_len;

static FILE *begin_printing(void)
{
	FILE *out = open_memstream(&printed, &printed_len);

	assert_non_null(out);
	return out;
}

static void assert_printed(FILE *out, const char *expected)
{
	assert_int_equal(fclose(out), 0);
	assert_string_equal(printed, expected);
	free(printed);
	printed = NULL;
}

static void assert_text(const char *json, enum ntm_print_form form, const char *expected)
{
	struct json_object *value = json ? parsed(json) : NULL;
	char *text = ntm_print_text(value, form);

	assert_string_equal(text, expected);
	free(text);
	json_object_put(value);
}

/* ---- single values */

static void numbers_are_shown_in_units_for_people(void **state)
{
	(void)state;
	assert_text("0", NTM_PRINT_BYTES, "0 B");
	assert_text("1023", NTM_PRINT_BYTES, "1023 B");
	assert_text("1024", NTM_PRINT_BYTES, "1.0 KiB");
	assert_text("12897484", NTM_PRINT_BYTES, "12.3 MiB");
	assert_text("1048575", NTM_PRINT_BYTES, "1.0 MiB"); /* not 1024.0 KiB */
	assert_text("18446744073709551615", NTM_PRINT_BYTES, "16.0 EiB");
	assert_text("12897484", NTM_PRINT_RATE, "12.3 MiB/s");
	assert_text("1234", NTM_PRINT_MS, "1.234 ms");
	assert_text("0.4", NTM_PRINT_MS, "0.000 ms");
	assert_text("125", NTM_PRINT_PERCENT, "12.5 %");
	assert_text("59", NTM_PRINT_AGO, "59 s");
	assert_text("182", NTM_PRINT_AGO, "3 min 2 s");
	assert_text("3600", NTM_PRINT_AGO, "1 h 0 min");
	assert_text("273600", NTM_PRINT_AGO, "3 d 4 h");
	assert_text("3.9", NTM_PRINT_AGO, "3 s");
	assert_text("true", NTM_PRINT_YESNO, "yes");
	assert_text("false", NTM_PRINT_YESNO, "no");
}

static void what_has_another_type_than_its_form_is_shown_as_it_is(void **state)
{
	(void)state;
	for (int form = NTM_PRINT_PLAIN; form <= NTM_PRINT_PERCENT; form++)
		assert_text(NULL, (enum ntm_print_form)form, "-");
	assert_text("\"never\"", NTM_PRINT_AGO, "never");
	assert_text("-1", NTM_PRINT_MS, "-");
	assert_text("-1", NTM_PRINT_COUNT, "-1");
	assert_text("[\"192.0.2.1\", \"2001:db8::1\"]", NTM_PRINT_LIST, "192.0.2.1 2001:db8::1");
	assert_text("[]", NTM_PRINT_LIST, "-");
	assert_text("\"192.0.2.1\"", NTM_PRINT_LIST, "192.0.2.1");
	assert_text("{\"a\": 1, \"b\": null}", NTM_PRINT_PLAIN, "a=1 b=-");
	assert_text("true", NTM_PRINT_PLAIN, "yes");
}

static void text_lets_nothing_reach_the_terminal_that_could_control_it(void **state)
{
	/* bytes, and what is shown of them */
	static const struct {
		const char *bytes, *shown;
	} cases[] = {
		{ "a\033[2Jb", "a?[2Jb" },
		{ "one\ntwo\ttabs\r", "one?two?tabs?" },
		{ "del\177", "del?" },
		{ "c1 \302\233 here", "c1 ?? here" },
		{ "raw \233 here", "raw ? here" },
		{ "caf\303\251 \346\227\245 \360\237\230\200", "caf\303\251 \346\227\245 \360\237\230\200" },
		{ "cut \346\227", "cut ??" },
		{ "overlong \300\200 \340\200\200 \360\200\200\200", "overlong ?? ??? ????" },
		{ "surrogate \355\240\200", "surrogate ???" },
		{ "beyond \364\220\200\200", "beyond ????" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *value = json_object_new_string(cases[i].bytes);
		char *text = ntm_print_text(value, NTM_PRINT_PLAIN);

		assert_string_equal(text, cases[i].shown);
		free(text);
		json_object_put(value);
	}
}

static void a_key_with_dots_leads_into_objects(void **state)
{
	struct json_object *object =
		parsed("{\"dc\": {\"name\": \"dc.ntm.example\", \"at\": {\"port\": 6866}}, "
		       "\"a.b\": 7, \"none\": null}");

	(void)state;
	assert_string_equal(json_object_get_string(ntm_print_find(object, "dc.name")), "dc.ntm.example");
	assert_int_equal(json_object_get_int(ntm_print_find(object, "dc.at.port")), 6866);
	assert_int_equal(json_object_get_int(ntm_print_find(object, "a.b")), 7);
	assert_null(ntm_print_find(object, "dc.none"));
	assert_null(ntm_print_find(object, "dc.name.none"));
	assert_null(ntm_print_find(object, "none"));
	assert_null(ntm_print_find(object, "none.none"));
	assert_null(ntm_print_find(NULL, "dc"));
	json_object_put(object);
}

/* ---- tables, lines, counters, events */

static const struct ntm_print_column columns[] = {
	{ "peer", "PEER", NTM_PRINT_PLAIN },
	{ "rx", "RECEIVED", NTM_PRINT_BYTES },
	{ "route", "ROUTE", NTM_PRINT_PLAIN },
	{ NULL, NULL, NTM_PRINT_PLAIN },
};

static void a_table_is_aligned_and_ends_without_blanks(void **state)
{
	struct json_object *array =
		parsed("[{\"peer\": \"cn.ntm.example\", \"rx\": 5, \"route\": \"direct\"},"
		       " {\"peer\": \"b\\u00fccher.example\", \"rx\": 20480000000},"
		       " {\"route\": \"relay\", \"other\": 1}]");
	FILE *out = begin_printing();

	(void)state;
	ntm_print_table(out, NTM_PRINT_TEXT, array, columns, "nothing");
	assert_printed(out, "PEER            RECEIVED  ROUTE\n"
			    "cn.ntm.example       5 B  direct\n"
			    "b\303\274cher.example  19.1 GiB  -\n"
			    "-                      -  relay\n");
	json_object_put(array);
}

static void an_empty_table_is_a_sentence_in_text_and_an_array_in_json(void **state)
{
	struct json_object *array = json_object_new_array();
	FILE *out = begin_printing();

	(void)state;
	ntm_print_table(out, NTM_PRINT_TEXT, array, columns, "no tunnels");
	ntm_print_table(out, NTM_PRINT_TEXT, NULL, columns, "nothing at all");
	ntm_print_table(out, NTM_PRINT_JSON, array, columns, "no tunnels");
	assert_printed(out, "no tunnels\nnothing at all\n[]\n");
	json_object_put(array);
}

static void json_is_the_whole_document_on_one_line_or_indented(void **state)
{
	static const char line[] = "{\"file\":\"/run\",\"list\":[1,2],\"time\":1763765006.1230}\n";
	struct json_object *object = parsed(line);
	FILE *out = begin_printing();

	(void)state;
	ntm_print_json(out, NTM_PRINT_JSON, object);
	ntm_print_object(out, NTM_PRINT_JSON, object, columns);
	ntm_print_flat(out, NTM_PRINT_JSON, object, columns);
	ntm_print_event(out, NTM_PRINT_JSON, object);
	ntm_print_json(out, NTM_PRINT_JSON, NULL);
	assert_int_equal(fflush(out), 0);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(printed + i * (sizeof(line) - 1), line, sizeof(line) - 1);
	assert_string_equal(printed + 4 * (sizeof(line) - 1), "null\n");
	fclose(out);
	free(printed);

	out = begin_printing();
	ntm_print_object(out, NTM_PRINT_PRETTY, object, columns);
	assert_printed(out, "{\n  \"file\": \"/run\",\n  \"list\": [\n    1,\n    2\n  ],\n"
			    "  \"time\": 1763765006.1230\n}\n");
	json_object_put(object);
}

static void an_object_is_lines_without_what_is_absent(void **state)
{
	static const struct ntm_print_column lines[] = {
		{ "fqdn", "name", NTM_PRINT_PLAIN },
		{ "absent", "a much longer title that must not count", NTM_PRINT_PLAIN },
		{ "nat", "NAT", NTM_PRINT_PLAIN },
		{ "dc.rtt_us", "round trip", NTM_PRINT_MS },
		{ "real", "real", NTM_PRINT_LINES },
		{ "empty", "an empty array, left out", NTM_PRINT_LIST },
		{ "flags", "flags", NTM_PRINT_LIST },
		{ NULL, NULL, NTM_PRINT_PLAIN },
	};
	struct json_object *object = parsed("{\"fqdn\": \"mn.ntm.example\", \"nat\": null, \"empty\": [],"
					    " \"dc\": {\"rtt_us\": 412}, \"flags\": [\"a\", \"b\"],"
					    " \"real\": [\"192.0.2.1\", \"2001:db8::1\"]}");
	FILE *out = begin_printing();

	(void)state;
	ntm_print_object(out, NTM_PRINT_TEXT, object, lines);
	assert_printed(out, "name:       mn.ntm.example\n"
			    "round trip: 0.412 ms\n"
			    "real:       192.0.2.1\n"
			    "            2001:db8::1\n"
			    "flags:      a b\n");
	json_object_put(object);
}

static void counters_are_shown_by_their_whole_path(void **state)
{
	static const struct ntm_print_column described[] = {
		{ "dc.name", "DC", NTM_PRINT_PLAIN },
		{ "version", "version", NTM_PRINT_PLAIN },
		{ NULL, NULL, NTM_PRINT_PLAIN },
	};
	struct json_object *object =
		parsed("{\"drops\": {\"replay\": 12, \"no_path\": 0}, \"version\": \"1\","
		       " \"dc\": {\"name\": \"x\"}, \"engine\": {\"tx\": {\"pieces\": 3}},"
		       " \"relays\": [{\"name\": \"rs1\"}, {\"name\": \"rs2\"}],"
		       " \"list\": [1, 2], \"none\": {}, \"vers\": 5}");
	FILE *out = begin_printing();

	(void)state;
	ntm_print_flat(out, NTM_PRINT_TEXT, object, described);
	assert_printed(out, "drops.replay      12\n"
			    "drops.no_path     0\n"
			    "engine.tx.pieces  3\n"
			    "relays.0.name     rs1\n"
			    "relays.1.name     rs2\n"
			    "list              1 2\n"
			    "none              -\n"
			    "vers              5\n");
	json_object_put(object);
}

static void an_event_is_one_line_with_the_local_time(void **state)
{
	struct json_object *object =
		parsed("{\"event\": \"tunnel_up\", \"time\": 1763765006.0426, \"peer\": \"cn\","
		       " \"route\": \"relay rs1\", \"empty\": \"\", \"new\": {\"a\": 1}}");
	struct json_object *bare = parsed("{\"time\": -1}");
	FILE *out;

	(void)state;
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	tzset();
	out = begin_printing();
	ntm_print_event(out, NTM_PRINT_TEXT, object);
	ntm_print_event(out, NTM_PRINT_TEXT, bare);
	assert_printed(
		out, "2025-11-21 22:43:26.043 tunnel_up peer=cn route=\"relay rs1\" empty=\"\" new=\"a=1\"\n"
		     "- -\n");
	json_object_put(object);
	json_object_put(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_shown_in_units_for_people),
		cmocka_unit_test(what_has_another_type_than_its_form_is_shown_as_it_is),
		cmocka_unit_test(text_lets_nothing_reach_the_terminal_that_could_control_it),
		cmocka_unit_test(a_key_with_dots_leads_into_objects),
		cmocka_unit_test(a_table_is_aligned_and_ends_without_blanks),
		cmocka_unit_test(an_empty_table_is_a_sentence_in_text_and_an_array_in_json),
		cmocka_unit_test(json_is_the_whole_document_on_one_line_or_indented),
		cmocka_unit_test(an_object_is_lines_without_what_is_absent),
		cmocka_unit_test(counters_are_shown_by_their_whole_path),
		cmocka_unit_test(an_event_is_one_line_with_the_local_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
