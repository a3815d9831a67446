/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * main.c - ntmctl, the command line of ntmd, ntm-dc and ntm-rs: the table of commands, options, help.
 * Next: the file of the command's OBJECT, then call.c, and lib/control.c in the daemon. Manual: ntmctl(8).
 */
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "ntmctl.h"

#define SYNTAX "ntmctl [-j | -p] [--socket PATH] [OBJECT] COMMAND [ARGUMENTS]"

static const struct ntmctl_command commands[] = {
	{"key gen", "", "make a private key, as base64",
	 "Keep it from others: (umask 077 && ntmctl key gen >FILE)", 0, 0, "", NTMCTL_NOBODY, ntmctl_key_gen},
	{"key pub", "<FILE", "the public key of the private key on standard input", NULL, 0, 0, "",
	 NTMCTL_NOBODY, ntmctl_key_pub},
	{"status", "", "name, addresses, Direction Coordinator, relays (the default command)", NULL, 0, 0, "",
	 NTMCTL_NTMD, ntmctl_status},
	{"tunnel list", "", "the tunnels of this node", NULL, 0, 0, "", NTMCTL_NTMD, ntmctl_tunnel_list},
	{"tunnel show", "FQDN|PATH_ID", "one tunnel and all its routes", NULL, 1, 1, "", NTMCTL_NTMD,
	 ntmctl_tunnel_show},
	{"tunnel close", "FQDN|PATH_ID", "end a tunnel; traffic to the peer makes a new one", NULL, 1, 1, "",
	 NTMCTL_NTMD, ntmctl_tunnel_close},
	{"path explain", "FQDN", "which routes to a peer were considered, and why one was taken", NULL, 1, 1,
	 "", NTMCTL_NTMD, ntmctl_path_explain},
	{"ping", "FQDN [-c N] [-i SECONDS]", "round trips through the tunnel to a peer",
	 "-c N        send N pings (default 5)\n"
	 "-i SECONDS  wait as long between two (default 1, at least 0.01)\n"
	 "Exits with 1 if nothing came back.",
	 1, 1, "ci", NTMCTL_NTMD, ntmctl_ping},
	{"netcheck", "", "what the networks around this node let through", NULL, 0, 0, "", NTMCTL_NTMD,
	 ntmctl_netcheck},
	{"stats", "", "every counter, every drop reason", NULL, 0, 0, "", NTMCTL_NTMD, ntmctl_stats},
	{"monitor", "", "events as they happen, a line each", NULL, 0, 0, "", NTMCTL_NTMD, ntmctl_monitor},
	{"attach", "[--interface IF]... [--mode auto|native|generic] [--check]",
	 "load the BPF programs and hand the tunnels' inline lane over to them",
	 "--interface IF  only this interface (may be repeated); default: every one that a default route leaves by\n"
	 "--mode MODE     how XDP is attached: auto (by driver), native or generic\n"
	 "--check         only load the programs into the kernel and let it verify them",
	 0, 0, "IMK", NTMCTL_NTMD, ntmctl_attach},
	{"detach", "[--pin-dir DIR]", "take the inline lane back and remove the BPF programs",
	 "Also without ntmd, which leaves them when it ends: then DIR says where they are pinned, if not in\n"
	 "/sys/fs/bpf/ntm/ntm0.",
	 0, 0, "P", NTMCTL_NTMD, ntmctl_detach},
	{"run", "[-c FILE] -- COMMAND...", "a command on the overlay, as an ordinary user",
	 "-c FILE  the node's configuration; default: ~/.config/ntm/ntmd.conf, or /etc/ntm/ntmd.conf\n"
	 "The command reaches NTM nodes and nothing else. Exits as the command does, with 127 if it is not found,\n"
	 "126 if it cannot be executed, 125 if it was not started.",
	 1, INT_MAX, "c", NTMCTL_NOBODY, ntmctl_run},
	{"dc status", "", "the Direction Coordinator on this machine", NULL, 0, 0, "", NTMCTL_DC,
	 ntmctl_dc_status},
	{"dc node add", "FQDN PUBLIC_KEY", "make a node a member; prints its virtual addresses", NULL, 2, 2,
	 "", NTMCTL_DC, ntmctl_dc_node_add},
	{"dc node del", "FQDN", "end a node's membership", NULL, 1, 1, "", NTMCTL_DC, ntmctl_dc_node_del},
	{"dc node list", "", "the members, and where they are", NULL, 0, 0, "", NTMCTL_DC,
	 ntmctl_dc_node_list},
	{"dc relay list", "", "relays with their load and state", NULL, 0, 0, "", NTMCTL_DC,
	 ntmctl_dc_relay_list},
	{"dc path list", "", "the paths that this coordinator directed", NULL, 0, 0, "", NTMCTL_DC,
	 ntmctl_dc_path_list},
	{"dc stats", "", "every counter of the coordinator", NULL, 0, 0, "", NTMCTL_DC, ntmctl_dc_stats},
	{"dc monitor", "", "events of the coordinator, a line each", NULL, 0, 0, "", NTMCTL_DC,
	 ntmctl_dc_monitor},
	{"rs status", "", "the Relay Server on this machine", NULL, 0, 0, "", NTMCTL_RS, ntmctl_rs_status},
	{"rs tunnel list", "", "the paths that it relays", NULL, 0, 0, "", NTMCTL_RS, ntmctl_rs_tunnel_list},
	{"rs stats", "", "every counter of the relay", NULL, 0, 0, "", NTMCTL_RS, ntmctl_rs_stats},
	{"rs attach", "", "relay by XDP again, after rs detach or a fallback", NULL, 0, 0, "", NTMCTL_RS,
	 ntmctl_rs_attach},
	{"rs detach", "", "take XDP off all interfaces: user space relays",
	 "Without a running ntm-rs: `ntm-rs --detach`.", 0, 0, "", NTMCTL_RS, ntmctl_rs_detach},
	{"rs drain", "[--cancel]",
	 "take no new paths, have the old ones moved, then end; tells how many are left",
	 "Ask again to see how many are left. --cancel: take paths again.", 0, 0, "C", NTMCTL_RS,
	 ntmctl_rs_drain},
	{"rs monitor", "", "events of the relay, a line each", NULL, 0, 0, "", NTMCTL_RS, ntmctl_rs_monitor},
	{.words = NULL},
};

/* What a daemon says may come from the network: a terminal gets nothing of it but text. */
__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list ap)
{
	char *text, *rest, *line;

	fputs("ntmctl: ", stderr);
	if (vasprintf(&text, format, ap) < 0)
		return;
	rest = text;
	line = strsep(&rest, "\n");
	ntm_print_string(stderr, line);
	while ((line = strsep(&rest, "\n"))) {
		fputc('\n', stderr);
		ntm_print_string(stderr, line);
	}
	free(text);
}

int ntmctl_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return NTMCTL_FAILED;
}

int ntmctl_usage(const struct ntmctl *ctl, const char *format, ...)
{
	const struct ntmctl_command *command = ctl->command;
	va_list ap;

	va_start(ap, format);
	say(format, ap);
	va_end(ap);
	if (command)
		fprintf(stderr, "\nusage: ntmctl %s%s%s\n", command->words, *command->usage ? " " : "",
			command->usage);
	else
		fprintf(stderr, "\nusage: " SYNTAX "\n`ntmctl --help` tells more\n");
	return NTMCTL_USAGE;
}

/* ---- help */

/* Whether words of a command begin with these; an empty prefix begins all. */
static bool begins(const char *words, const char *prefix)
{
	size_t len = strlen(prefix);

	return !len || (!strncmp(words, prefix, len) && (!words[len] || words[len] == ' '));
}

static bool any_begins(const char *prefix)
{
	for (const struct ntmctl_command *c = commands; c->words; c++)
		if (begins(c->words, prefix))
			return true;
	return false;
}

static void list_commands(FILE *out, const char *prefix)
{
	for (const struct ntmctl_command *c = commands; c->words; c++) {
		int width;

		if (!begins(c->words, prefix))
			continue;
		width = fprintf(out, "  %s%s%s", c->words, *c->usage ? " " : "", c->usage);
		fprintf(out, "%*s%s\n", width < 32 ? 32 - width : 1, "", c->summary);
	}
}

static void print_help(const struct ntmctl_command *command, const char *prefix)
{
	if (command) {
		printf("usage: ntmctl [-j | -p] [--socket PATH] %s%s%s\n\n%s\n", command->words,
		       *command->usage ? " " : "", command->usage, command->summary);
		if (command->more)
			printf("%s\n", command->more);
		return;
	}
	printf("usage: " SYNTAX "\n\nCommands:\n");
	list_commands(stdout, prefix);
	printf("\nOptions:\n"
	       "  -j, --json          print one JSON document\n"
	       "  -p, --pretty        the same, indented\n"
	       "      --socket PATH   the daemon's control socket; default: /run/ntm/ntmd.sock, or for the\n"
	       "                      objects dc and rs /run/ntm/dc.sock and /run/ntm/rs.sock\n"
	       "  -h, --help          this text, or a command's own\n"
	       "  -V, --version       print the version\n\n"
	       "Exit status: 0 done, 1 not done, 2 wrong usage. More: man ntmctl\n");
}

/* ---- the command line */

struct words {
	char **word; /* what is no option, in order */
	int count;
	bool help, version;
};

enum { OPT_SOCKET = 256, OPT_CANCEL, OPT_INTERFACE, OPT_MODE, OPT_CHECK, OPT_PIN_DIR };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "pretty", no_argument, NULL, 'p' },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "count", required_argument, NULL, 'c' },
	{ "interval", required_argument, NULL, 'i' },
	{ "cancel", no_argument, NULL, OPT_CANCEL },
	{ "interface", required_argument, NULL, OPT_INTERFACE },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "pin-dir", required_argument, NULL, OPT_PIN_DIR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* What follows is another program's, with options of its own. */
static bool command_follows(const struct words *words)
{
	return words->count == 2 && !strcmp(words->word[0], "run");
}

/* Options may stand anywhere before that. */
static int read_options(struct ntmctl *ctl, struct words *words, int argc, char **argv)
{
	int opt;

	opterr = 0;
	/* '-': hand over each word in its place, whatever POSIXLY_CORRECT says */
	while (!command_follows(words) &&
	       (opt = getopt_long(argc, argv, "-:jpc:i:hV", long_options, NULL)) != -1) {
		switch (opt) {
		case 1:
			words->word[words->count++] = optarg;
			break;
		case 'j':
			/* -p says more */
			ctl->mode = ctl->mode == NTM_PRINT_PRETTY ? ctl->mode : NTM_PRINT_JSON;
			break;
		case 'p':
			ctl->mode = NTM_PRINT_PRETTY;
			break;
		case OPT_SOCKET:
			ctl->socket = optarg;
			break;
		case OPT_CANCEL:
			ctl->cancel = true;
			break;
		case 'c':
			ctl->count = optarg;
			break;
		case 'i':
			ctl->interval = optarg;
			break;
		case OPT_INTERFACE:
			if (!ntm_config_is_device(optarg))
				return ntmctl_usage(ctl, "\"%s\" is no name of an interface, as eth0",
						    optarg);
			if (ctl->interfaces == NTMCTL_INTERFACES_MAX)
				return ntmctl_usage(ctl, "at most %d interfaces", NTMCTL_INTERFACES_MAX);
			ctl->interface[ctl->interfaces++] = optarg;
			break;
		case OPT_MODE:
			ctl->mode_name = optarg;
			break;
		case OPT_CHECK:
			ctl->check = true;
			break;
		case OPT_PIN_DIR:
			ctl->pin_dir = optarg;
			break;
		case 'h':
			words->help = true;
			break;
		case 'V':
			words->version = true;
			break;
		case ':':
			return ntmctl_usage(ctl, "%s needs a value", argv[optind - 1]);
		default:
			if (optopt && strchr("jphV", optopt))
				return ntmctl_usage(ctl, "%s: this option takes no value", argv[optind - 1]);
			if (optopt)
				return ntmctl_usage(ctl, "unknown option -%c", optopt);
			return ntmctl_usage(ctl, "unknown option %s", argv[optind - 1]);
		}
	}
	while (optind < argc)
		words->word[words->count++] = argv[optind++];
	return NTMCTL_DONE;
}

/* Joins the first n words into text, with blanks between; false if they are too long for any command. */
static bool join_words(char *text, size_t size, char **word, int n)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < n; i++) {
		int len = snprintf(text + used, size - used, "%s%s", i ? " " : "", word[i]);

		if (len < 0 || (size_t)len >= size - used)
			return false;
		used += (size_t)len;
	}
	return true;
}

/*
 * The command that the words begin with; ret_used says how many words that are. Without one, prefix is left
 * with as many words as some command begins with.
 */
static const struct ntmctl_command *find_command(const struct words *words, int *ret_used, char *prefix,
						 size_t size)
{
	char text[64];

	prefix[0] = '\0';
	for (int n = 1; n <= words->count; n++) {
		if (!join_words(text, sizeof(text), words->word, n) || !any_begins(text))
			break;
		snprintf(prefix, size, "%s", text);
		for (const struct ntmctl_command *c = commands; c->words; c++) {
			if (!strcmp(c->words, text)) {
				*ret_used = n;
				return c;
			}
		}
		*ret_used = n;
	}
	return NULL;
}

/* No command: says what there is. */
static int unknown(const struct words *words, const char *prefix, int used)
{
	if (used < words->count)
		fprintf(stderr, "ntmctl: unknown command \"%s%s%s\"", prefix, *prefix ? " " : "",
			words->word[used]);
	else
		fprintf(stderr, "ntmctl: \"%s\" is not a whole command", prefix);
	fprintf(stderr, "; there are:\n");
	list_commands(stderr, prefix);
	return NTMCTL_USAGE;
}

/* An option that was given and that this command does not have, or NULL. */
static const char *wrong_option(const struct ntmctl *ctl)
{
	const struct {
		bool given;
		char letter;
		const char *name;
	} option[] = {
		{ ctl->count != NULL, 'c', "-c" },	       { ctl->interval != NULL, 'i', "-i" },
		{ ctl->interfaces != 0, 'I', "--interface" },  { ctl->mode_name != NULL, 'M', "--mode" },
		{ ctl->check, 'K', "--check" },		       { ctl->pin_dir != NULL, 'P', "--pin-dir" },
		{ ctl->cancel, 'C', "--cancel" },
	};

	for (unsigned i = 0; i < sizeof(option) / sizeof(option[0]); i++)
		if (option[i].given && !strchr(ctl->command->options, option[i].letter))
			return option[i].name;
	return NULL;
}

static int run(struct ntmctl *ctl, const struct words *words)
{
	const char *wrong;
	char *bare[] = { "status" };
	struct words chosen = *words;
	char prefix[64];
	int used = 0;

	if (!chosen.count && !words->help) {
		chosen.word = bare;
		chosen.count = 1;
	}
	ctl->command = find_command(&chosen, &used, prefix, sizeof(prefix));
	if (words->help && (ctl->command || used == chosen.count)) {
		print_help(ctl->command, prefix);
		return NTMCTL_DONE;
	}
	if (!ctl->command)
		return unknown(&chosen, prefix, used);
	ctl->argc = chosen.count - used;
	ctl->argv = chosen.word + used;
	if (ctl->argc < ctl->command->min)
		return ntmctl_usage(ctl, "\"%s\" needs %s", ctl->command->words,
				    ctl->command->min == 1 ? "an argument" : "more arguments");
	if (ctl->argc > ctl->command->max)
		return ntmctl_usage(ctl, "\"%s\": \"%s\" is too much", ctl->command->words,
				    ctl->argv[ctl->command->max]);
	wrong = wrong_option(ctl);
	if (wrong)
		return ntmctl_usage(ctl, "\"%s\" has no option %s", ctl->command->words, wrong);
	return ctl->command->run(ctl);
}

int main(int argc, char **argv)
{
	struct ntmctl ctl = { .mode = NTM_PRINT_TEXT };
	struct words words = { .word = calloc((size_t)argc + 1, sizeof(char *)) };
	int r;

	if (!words.word)
		return ntmctl_fail("not enough memory");
	r = read_options(&ctl, &words, argc, argv);
	if (r == NTMCTL_DONE && words.version)
		printf("ntmctl %s\n", NTM_VERSION);
	else if (r == NTMCTL_DONE)
		r = run(&ctl, &words);
	/* a full disk must not look like success */
	if ((fflush(stdout) || ferror(stdout)) && r == NTMCTL_DONE)
		r = ntmctl_fail("cannot write to standard output");
	free(words.word);
	return r;
}
