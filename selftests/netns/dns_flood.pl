#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# dns_flood.pl - queries from many addresses of one network, as somebody would forge them; and what comes back there. dc_flood.sh
# runs it where that network is local. Needs no more than perl-base.
#
#	dns_flood.pl SERVER NAME NETWORK RATE SECONDS	NETWORK: the first three bytes of its addresses, as 192.0.2
#
# Prints "sent N bytes B whole N truncated N bytes B ms N"; bytes are those of the UDP payload.
use strict;
use warnings;
use Socket qw(:all);

# Seconds, with two digits behind the point.
sub uptime {
	open(my $file, "<", "/proc/uptime") or die "/proc/uptime: $!\n";
	return (split " ", <$file>)[0];
}

my ($server, $name, $network, $rate, $seconds) = @ARGV;
die "usage: dns_flood.pl SERVER NAME NETWORK RATE SECONDS\n" unless defined $seconds;
my $to = pack_sockaddr_in(53, inet_pton(AF_INET, $server));
my $query = pack("n6", 0x6e74, 0, 1, 0, 0, 0) . join("", map { pack("C/a", $_) } split /\./, $name) . "\0" . pack("nn", 65281, 1);
my (@socket, $answer);
for my $host (1 .. 32) {
	socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die "socket: $!\n";
	bind($socket, pack_sockaddr_in(0, inet_pton(AF_INET, "$network.$host"))) or die "bind: $!\n";
	push @socket, $socket;
}

my ($sent, $whole, $truncated, $bytes) = (0, 0, 0, 0);
sub take {
	for my $socket (@socket) {
		while (defined recv($socket, $answer, 4096, MSG_DONTWAIT)) {
			$bytes += length $answer;
			vec($answer, 2, 8) & 2 ? $truncated++ : $whole++;
		}
	}
}
my $start = uptime();
while ((my $ran = uptime() - $start) < $seconds) {
	for (; $sent < $rate * $ran; $sent++) {
		defined send($socket[$sent % @socket], $query, 0, $to) or die "send: $!\n";
	}
	take();
	select undef, undef, undef, 0.005;
}
my $ms = int((uptime() - $start) * 1000);
select undef, undef, undef, 0.3;
take();
print "sent $sent bytes ", $sent * length $query, " whole $whole truncated $truncated bytes $bytes ms $ms\n";
