/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * log.h - log lines to stderr, with journald's priority prefixes when stderr goes to the journal.
 * libntm itself only ever uses ntm_debug.
 */
#ifndef NTM_LIB_LOG_H
#define NTM_LIB_LOG_H

enum ntm_log_level {
	NTM_LOG_ERROR = 3,
	NTM_LOG_WARN = 4,
	NTM_LOG_NOTICE = 5,
	NTM_LOG_INFO = 6,
	NTM_LOG_DEBUG = 7
};

/* Default NOTICE; each -v adds one. */
void ntm_log_set_level(int level);
int ntm_log_level(void);
void ntm_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ntm_error(...) ntm_log(NTM_LOG_ERROR, __VA_ARGS__)
#define ntm_warn(...) ntm_log(NTM_LOG_WARN, __VA_ARGS__)
#define ntm_notice(...) ntm_log(NTM_LOG_NOTICE, __VA_ARGS__)
#define ntm_info(...) ntm_log(NTM_LOG_INFO, __VA_ARGS__)
#define ntm_debug(...)                                       \
	do {                                                 \
		if (ntm_log_level() >= NTM_LOG_DEBUG)        \
			ntm_log(NTM_LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
