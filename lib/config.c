/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * config.c - configuration files. libinih splits lines into key and value; everything it is too lenient or
 * too short for is done in the reader that feeds it: comments, section headings with names, line numbers,
 * limits. daemon/, dc/ and rs/ have the tables of their keys in config.c each.
 */
#include "config.h"

#include <errno.h>
#include <ini.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <ntm/limits.h>

#include "endpoint.h"
#include "key.h"

#define LINE_BYTES 1100 /* longest line with its end */
#define KIND_BYTES 32 /* longest word of a section heading */
#define NAME_BYTES 300 /* longest name of a section; what it may be says begin() */

/* Debian's libinih has its line limit in a variable, upstream's is fixed at build time (200). */
extern int ini_max_line __attribute__((weak));

struct reader {
	const char *path;
	FILE *file;
	void *config;
	const struct ntm_config_key *keys;
	const struct ntm_config_section *sections;
	bool *seen; /* by key: in this section, for sections with a name; else ever */
	char kind[KIND_BYTES], name[NAME_BYTES]; /* the current section */
	unsigned line, section_line;
	bool failed;
	char *why;
	size_t why_len;
};

/* The first sentence stays. Returns 0, which is libinih's failure. */
__attribute__((format(printf, 3, 4))) static int fail(struct reader *reader, unsigned line,
						      const char *format, ...)
{
	va_list args;
	int n;

	if (reader->failed)
		return 0;
	reader->failed = true;
	n = line ? snprintf(reader->why, reader->why_len, "%s:%u: ", reader->path, line)
		 : snprintf(reader->why, reader->why_len, "%s: ", reader->path);
	if (n < 0 || (size_t)n >= reader->why_len)
		return 0;
	va_start(args, format);
	vsnprintf(reader->why + n, reader->why_len - (size_t)n, format, args);
	va_end(args);
	return 0;
}

static const struct ntm_config_section *named_section(const struct reader *reader, const char *kind)
{
	for (const struct ntm_config_section *s = reader->sections; s && s->section; s++) {
		if (!strcmp(s->section, kind))
			return s;
	}
	return NULL;
}

/* ---- sections */

/* A section with a name ends: were the keys there that it must have? */
static int section_end(struct reader *reader)
{
	if (!*reader->name)
		return 1;
	for (const struct ntm_config_key *key = reader->keys; key->section; key++) {
		bool *seen = &reader->seen[key - reader->keys];

		if (strcmp(key->section, reader->kind))
			continue;
		if (key->required && !*seen)
			return fail(reader, reader->section_line, "[%s \"%s\"] lacks the key '%s'",
				    reader->kind, reader->name, key->name);
		*seen = false;
	}
	return 1;
}

/* "[kind]" or "[kind "name"]", without what follows. 1, or 0 if it is neither. */
static int heading_split(char *line, char kind[KIND_BYTES], char name[NAME_BYTES])
{
	size_t len = strlen(line), n;
	char *at = line + 1;

	if (line[len - 1] != ']')
		return 0;
	line[len - 1] = 0;
	n = strcspn(at, " \t\"[]");
	if (!n || n >= KIND_BYTES)
		return 0;
	memcpy(kind, at, n);
	kind[n] = 0;
	*name = 0;
	at += n + strspn(at + n, " \t");
	if (!*at)
		return 1;
	if (*at++ != '"')
		return 0;
	n = strcspn(at, "\"");
	if (!n || n >= NAME_BYTES || strcmp(at + n, "\""))
		return 0;
	memcpy(name, at, n);
	name[n] = 0;
	return 1;
}

static int section_begin(struct reader *reader, char *line)
{
	const struct ntm_config_section *named;
	const char *expected;
	bool known = false;

	if (!section_end(reader))
		return 0;
	if (!heading_split(line, reader->kind, reader->name))
		return fail(reader, reader->line, "expected a section as [word] or [word \"name\"]");
	reader->section_line = reader->line;
	for (const struct ntm_config_key *key = reader->keys; key->section; key++)
		known = known || !strcmp(key->section, reader->kind);
	named = named_section(reader, reader->kind);
	if (!known && !named)
		return fail(reader, reader->line, "unknown section [%s]", reader->kind);
	if (named && !*reader->name)
		return fail(reader, reader->line, "[%s] needs a name: [%s \"NAME\"]", reader->kind,
			    reader->kind);
	if (!named && *reader->name)
		return fail(reader, reader->line, "expected [%s], which has no name", reader->kind);
	if (!named)
		return 1;
	expected = named->begin(reader->config, reader->name);
	if (expected)
		return fail(reader, reader->line, "[%s \"%.80s\"]: expected %s", reader->kind, reader->name,
			    expected);
	return 1;
}

/* The end of the file: sections without a name must have been there with what they need. */
static int file_end(struct reader *reader)
{
	if (!section_end(reader))
		return 0;
	for (const struct ntm_config_key *key = reader->keys; key->section; key++) {
		if (key->required && !named_section(reader, key->section) &&
		    !reader->seen[key - reader->keys])
			return fail(reader, 0, "the key '%s' is missing in [%s]", key->name, key->section);
	}
	return 1;
}

/* ---- lines */

/* One line of the file without its end. 1, 0 at the end of the file, -1 after fail(). */
static int line_read(struct reader *reader, char line[LINE_BYTES])
{
	size_t n = 0;
	int c = getc(reader->file);

	if (c == EOF && ferror(reader->file)) {
		fail(reader, 0, "cannot read: %s", strerror(errno));
		return -1;
	}
	if (c == EOF)
		return 0;
	reader->line++;
	for (; c != EOF && c != '\n'; c = getc(reader->file)) {
		if (!c) {
			fail(reader, reader->line, "expected text, but there is a zero byte");
			return -1;
		}
		if (n == LINE_BYTES - 2) {
			fail(reader, reader->line, "expected at most %d bytes in a line", LINE_BYTES - 2);
			return -1;
		}
		line[n++] = (char)c;
	}
	line[n] = 0;
	return 1;
}

/*
 * Cuts comments and white space at both ends: a line that began with a space would continue the value before
 * it in libinih. '#' begins a comment at the start or after a space, outside quotes (names of sections).
 */
static char *line_trim(char *line, bool first)
{
	bool quoted = false, space = true;
	char *at = line, *end;

	if (first && !strncmp(at, "\xef\xbb\xbf", 3)) /* byte order mark */
		at += 3;
	at += strspn(at, " \t\r\f\v");
	if (*at == ';')
		*at = 0;
	for (end = at; *end && !(space && !quoted && *end == '#'); end++) {
		quoted ^= *end == '"' && *at == '[';
		space = *end == ' ' || *end == '\t';
	}
	while (end > at && strchr(" \t\r\f\v", end[-1]))
		end--;
	*end = 0;
	return at;
}

/*
 * libinih's reader, a line a call. Headings are dealt with here, because it cuts them at 49 bytes and tells
 * nothing of sections without keys; it gets an empty line for each, so that its line count agrees.
 */
static char *line_next(char *ret_line, int len, void *stream)
{
	struct reader *reader = stream;
	char buf[LINE_BYTES], *line;

	if (reader->failed || line_read(reader, buf) <= 0)
		return NULL;
	line = line_trim(buf, reader->line == 1);
	if (*line == '[') {
		if (!section_begin(reader, line))
			return NULL;
		*line = 0;
	}
	if (snprintf(ret_line, (size_t)len, "%s\n", line) >= len) {
		fail(reader, reader->line, "expected at most %d bytes in a line", len - 2);
		return NULL;
	}
	return ret_line;
}

/* libinih's handler; the section is the reader's own. */
static int key_set(void *user, const char *section, const char *name, const char *value)
{
	struct reader *reader = user;
	const struct ntm_config_key *key;
	const char *expected;

	(void)section;
	if (!*reader->kind)
		return fail(reader, reader->line, "expected a section as [word] before the key '%s'", name);
	for (key = reader->keys; key->section; key++) {
		if (!strcmp(key->section, reader->kind) && !strcmp(key->name, name))
			break;
	}
	if (!key->section)
		return fail(reader, reader->line, "unknown key '%s' in [%s]", name, reader->kind);
	if (reader->seen[key - reader->keys] && !key->repeats)
		return fail(reader, reader->line, "the key '%s' is there twice, expected once", name);
	reader->seen[key - reader->keys] = true;
	expected = key->set(reader->config, value, key->arg);
	if (expected)
		return fail(reader, reader->line, "%s = %.80s: expected %s", name, value, expected);
	return 1;
}

int ntm_config_read(const char *path, void *config, const struct ntm_config_key *keys,
		    const struct ntm_config_section *sections, char *ret_why, size_t why_len)
{
	struct reader reader = {.path = path,
				.config = config,
				.keys = keys,
				.sections = sections,
				.why = ret_why,
				.why_len = why_len};
	size_t count = 0;
	int bad;

	while (keys[count].section)
		count++;
	reader.seen = calloc(count + 1, sizeof(*reader.seen));
	if (!reader.seen) {
		fail(&reader, 0, "cannot read: %s", strerror(ENOMEM));
		return -1;
	}
	reader.file = fopen(path, "re");
	if (!reader.file) {
		fail(&reader, 0, "cannot open: %s", strerror(errno));
		goto out;
	}
	if (&ini_max_line)
		ini_max_line = LINE_BYTES;
	bad = ini_parse_stream(line_next, &reader, key_set, &reader);
	if (bad > 0 && (!reader.failed || (unsigned)bad < reader.line)) {
		reader.failed = false; /* a line before the one that key_set refused */
		fail(&reader, (unsigned)bad, "expected 'key = value' or a section");
	} else if (bad < 0) {
		fail(&reader, 0, "cannot read: %s", strerror(ENOMEM));
	}
	if (!reader.failed)
		file_end(&reader);
	fclose(reader.file);
out:
	free(reader.seen);
	return reader.failed ? -1 : 0;
}

/* ---- setters */

static void *field(void *config, void *arg)
{
	return (char *)config + (uintptr_t)arg;
}

const char *ntm_config_set_string(void *config, const char *value, void *arg)
{
	char **text = field(config, arg), *copy;

	if (!*value)
		return "a value";
	copy = strdup(value);
	if (!copy)
		return "memory, but none is left";
	free(*text);
	*text = copy;
	return NULL;
}

bool ntm_config_is_device(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || strchr("/%:\"", *name))
			return false;
	return true;
}

const char *ntm_config_set_device(void *config, const char *value, void *arg)
{
	return ntm_config_is_device(value) ? ntm_config_set_string(config, value, arg)
					   : "the name of a device, 1 to 15 characters, as ntm0";
}

const char *ntm_config_set_folder(void *config, const char *value, void *arg)
{
	if (*value != '/' || !value[strspn(value, "/")] || strstr(value, "/../"))
		return "the full path of a folder, as /sys/fs/bpf/ntm/ntm0";
	return ntm_config_set_string(config, value, arg);
}

const char *ntm_config_set_socket(void *config, const char *value, void *arg)
{
	return strlen(value) < sizeof(((struct sockaddr_un *)0)->sun_path)
		       ? ntm_config_set_string(config, value, arg)
		       : "a path of at most 107 bytes, which is all that a socket takes";
}

const char *ntm_config_set_name(void *config, const char *value, void *arg)
{
	return ntm_name_normalise(field(config, arg), value) < 0 ? "a name, as mn.ntm.example" : NULL;
}

const char *ntm_config_set_endpoint(void *config, const char *value, void *arg)
{
	struct ntm_endpoint ep;

	if (ntm_endpoint_parse(&ep, value, NTM_PORT) < 0 || !ep.port || !ntm_addr_is_host(&ep.addr))
		return "an address and port, as 192.0.2.1:6866 or [2001:db8::1]:6866";
	*(struct ntm_endpoint *)field(config, arg) = ep;
	return NULL;
}

static bool digits_parse(const char *value, unsigned long max, unsigned long *ret_number)
{
	unsigned long number = 0;

	if (!*value)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return false;
		number = number * 10 + (unsigned long)(*value - '0');
		if (number > max)
			return false;
	}
	*ret_number = number;
	return true;
}

const char *ntm_config_set_port(void *config, const char *value, void *arg)
{
	unsigned long number;

	if (!digits_parse(value, UINT16_MAX, &number))
		return "a port, 0 to 65535";
	*(uint16_t *)field(config, arg) = (uint16_t)number;
	return NULL;
}

const char *ntm_config_set_key(void *config, const char *value, void *arg)
{
	return ntm_key_parse(field(config, arg), value) < 0 ? "a key, 44 characters of base64" : NULL;
}

const char *ntm_config_set_number(void *config, const char *value, void *arg)
{
	unsigned long number;

	if (!digits_parse(value, UINT32_MAX, &number))
		return "a whole number, 0 to 4294967295";
	*(unsigned int *)field(config, arg) = (unsigned int)number;
	return NULL;
}
