/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * log.c - one line to stderr a call, in one write so that lines of several processes do not mix. Text that
 * came from the network may be in it: control characters are replaced, nobody outside can forge a line.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static int log_level = NTM_LOG_NOTICE;

void ntm_log_set_level(int level)
{
	log_level = level < NTM_LOG_ERROR ? NTM_LOG_ERROR : level > NTM_LOG_DEBUG ? NTM_LOG_DEBUG : level;
}

int ntm_log_level(void)
{
	return log_level;
}

/*
 * systemd names the journal's stream as "device:inode" in JOURNAL_STREAM; it must be compared, since stderr
 * may have been sent elsewhere (systemd.exec(5)).
 */
static bool is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

static int prefix(char *line, size_t len, int level)
{
	static const char *const words[] = {[NTM_LOG_ERROR] = "error: ",
					    [NTM_LOG_WARN] = "warning: ",
					    [NTM_LOG_NOTICE] = "",
					    [NTM_LOG_INFO] = "",
					    [NTM_LOG_DEBUG] = "debug: "};

	if (is_journal())
		return snprintf(line, len, "<%d>", level);
	return snprintf(line, len, "%.32s: %s", program_invocation_short_name, words[level]);
}

void ntm_log(int level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno, n, at;
	va_list args;

	if (level > log_level)
		return;
	if (level < NTM_LOG_ERROR)
		level = NTM_LOG_ERROR;
	at = prefix(line, sizeof(line), level);
	va_start(args, format);
	errno = saved; /* for %m */
	n = vsnprintf(line + at, sizeof(line) - (size_t)at, format, args);
	va_end(args);
	if (n < 0)
		n = 0;
	n = at + n < LINE_MAX_BYTES ? at + n : LINE_MAX_BYTES - 1;
	for (int i = at; i < n; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[n] = '\n';
	while (write(STDERR_FILENO, line, (size_t)n + 1) < 0 && errno == EINTR)
		;
	errno = saved;
}
