/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ntmctl.h - what the files of ntmctl share: main.c has the table of commands, each OBJECT has a file with
 * the functions behind its commands, call.c asks the daemons.
 *
 * The functions return the exit status: NTMCTL_DONE, NTMCTL_FAILED (the reason was printed), NTMCTL_USAGE.
 */
#ifndef NTM_TOOLS_NTMCTL_H
#define NTM_TOOLS_NTMCTL_H

#include <json-c/json.h>
#include <stdbool.h>

#include <ntm/types.h>
#include "print.h"

#define NTMCTL_INTERFACES_MAX 64

enum ntmctl_exit { NTMCTL_DONE = 0, NTMCTL_FAILED = 1, NTMCTL_USAGE = 2 };

/* Whom a command asks, if not --socket says otherwise. */
enum ntmctl_daemon { NTMCTL_NTMD, NTMCTL_DC, NTMCTL_RS, NTMCTL_NOBODY };

/* A command line, read. */
struct ntmctl {
	const struct ntmctl_command *command;
	enum ntm_print_mode mode;
	const char *socket; /* NULL: the daemon's own */
	int argc; /* arguments behind the command's words */
	char **argv;
	const char *count; /* -c (of run: the configuration) and -i as given; NULL: not given */
	const char *interval;
	bool cancel; /* --cancel */
	const char *interface[NTMCTL_INTERFACES_MAX]; /* --interface, as often as given */
	unsigned interfaces;
	const char *mode_name, *pin_dir; /* --mode, --pin-dir; NULL: not given */
	bool check; /* --check */
};

struct ntmctl_command {
	const char *words; /* "tunnel list" */
	const char *usage; /* the arguments, "" for none */
	const char *summary; /* one line for lists */
	const char *more; /* further lines for its own help, or NULL */
	int min, max; /* arguments */
	/* Its own ones: "ci"; I: --interface, M: --mode, K: --check, C: --cancel, P: --pin-dir */
	const char *options;
	enum ntmctl_daemon daemon;
	int (*run)(const struct ntmctl *ctl);
};

/* ---- main.c */

/* Prints what is wrong and how it goes right; returns NTMCTL_USAGE. */
int ntmctl_usage(const struct ntmctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints "ntmctl: ..." on stderr; returns NTMCTL_FAILED. */
int ntmctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- call.c */

/* A command for the wire; its arguments are added with json_object_object_add. */
struct json_object *ntmctl_request(const char *command);

/*
 * Sends a request (and frees it) and waits for the one answer, which the caller puts; NULL stands for null.
 */
int ntmctl_ask(const struct ntmctl *ctl, struct json_object *request, struct json_object **ret_result);

/* The same for answers of many parts: part() gets each as it comes, borrowed. */
int ntmctl_follow(const struct ntmctl *ctl, struct json_object *request,
		  void (*part)(void *arg, struct json_object *part), void *arg);

/* Whether somebody answers at the socket that the command would ask. */
bool ntmctl_answers(const struct ntmctl *ctl);

/* Asks and prints the answer, in one of the forms of print.h. */
int ntmctl_show_table(const struct ntmctl *ctl, const char *command, const struct ntm_print_column *columns,
		      const char *empty);
/* The object's described part as lines, then the rest of it as counters. */
int ntmctl_show_object(const struct ntmctl *ctl, const char *command, const struct ntm_print_column *columns);
int ntmctl_show_counters(const struct ntmctl *ctl, const char *command);
int ntmctl_show_events(const struct ntmctl *ctl, const char *command);

/* Reads an argument as a name in its normal form; NTMCTL_DONE, or says what is wrong. */
int ntmctl_read_name(const struct ntmctl *ctl, const char *text, char ret_name[NTM_FQDN_MAX + 1]);

/*
 * Text for people from parts of an object: the values at keys (closed by NULL), each in its form behind its
 * title, with blanks between; those that are absent or null are left out. A new JSON string; NULL if all are.
 */
struct json_object *ntmctl_join(struct json_object *object, const struct ntm_print_column *parts);

/* An array of the same for each object of an array. */
struct json_object *ntmctl_join_each(struct json_object *array, const struct ntm_print_column *parts);

/* ---- node.c: the commands of ntmd without an object */
int ntmctl_status(const struct ntmctl *ctl);
int ntmctl_netcheck(const struct ntmctl *ctl);
int ntmctl_stats(const struct ntmctl *ctl);
int ntmctl_monitor(const struct ntmctl *ctl);

/* ---- attach.c */
int ntmctl_attach(const struct ntmctl *ctl);
int ntmctl_detach(const struct ntmctl *ctl);

/* ---- ping.c */
int ntmctl_ping(const struct ntmctl *ctl);

/* ---- run.c: returns the command's exit status */
int ntmctl_run(const struct ntmctl *ctl);

/* ---- key.c */
int ntmctl_key_gen(const struct ntmctl *ctl);
int ntmctl_key_pub(const struct ntmctl *ctl);

/* ---- tunnel.c */
int ntmctl_tunnel_list(const struct ntmctl *ctl);
int ntmctl_tunnel_show(const struct ntmctl *ctl);
int ntmctl_tunnel_close(const struct ntmctl *ctl);

/* ---- path.c */
int ntmctl_path_explain(const struct ntmctl *ctl);

/* ---- dc.c */
int ntmctl_dc_status(const struct ntmctl *ctl);
int ntmctl_dc_node_add(const struct ntmctl *ctl);
int ntmctl_dc_node_del(const struct ntmctl *ctl);
int ntmctl_dc_node_list(const struct ntmctl *ctl);
int ntmctl_dc_relay_list(const struct ntmctl *ctl);
int ntmctl_dc_path_list(const struct ntmctl *ctl);
int ntmctl_dc_stats(const struct ntmctl *ctl);
int ntmctl_dc_monitor(const struct ntmctl *ctl);

/* ---- rs.c */
int ntmctl_rs_status(const struct ntmctl *ctl);
int ntmctl_rs_tunnel_list(const struct ntmctl *ctl);
int ntmctl_rs_stats(const struct ntmctl *ctl);
int ntmctl_rs_attach(const struct ntmctl *ctl);
int ntmctl_rs_detach(const struct ntmctl *ctl);
int ntmctl_rs_drain(const struct ntmctl *ctl);
int ntmctl_rs_monitor(const struct ntmctl *ctl);

#endif
