#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# ask.pl - asks name servers for an A record in the ways that applications have, and tells what they see of it; dns_bpf.sh runs
# it. Needs no more than perl-base.
#
#	ask.pl [marked|bound=DEV] [mapped|only6] sendto NAME SERVER...		a UDP socket that is not connected
#	ask.pl ...				 connected NAME SERVER		a connected one
#	ask.pl ...				 tcp NAME SERVER
#
# marked: with the socket mark of ntmd's own (NTM_DNS_MARK). bound: to an interface. mapped: an IPv6 socket, also for IPv4
# servers; only6: one with IPV6_V6ONLY. Several servers are all asked at once from one socket, as musl does.
# Prints "RCODE ADDRESS from SERVER PORT", for the latter two with " peer SERVER PORT", or "no answer".
use strict;
use warnings;
use Socket qw(:all);

use constant { SO_MARK => 36, SO_BINDTODEVICE => 25, MARK => 0x1035, IPV6_ONLY => 26 };
my ($marked, $bound, $mapped, $only6);
while (@ARGV && $ARGV[0] =~ /^(marked|bound=(.*)|mapped|only6)$/) {
	$marked = 1 if $1 eq "marked";
	$bound = $2 if defined $2;
	$mapped = 1 if $1 eq "mapped";
	$only6 = 1 if $1 eq "only6";
	shift;
}
my ($how, $name, @servers) = @ARGV;
die "usage: ask.pl [OPTION...] sendto|connected|tcp NAME SERVER...\n" unless @servers;

sub address {
	my $server = shift;
	return pack_sockaddr_in6(53, inet_pton(AF_INET6, $server)) if $server =~ /:/;
	return pack_sockaddr_in6(53, inet_pton(AF_INET6, "::ffff:$server")) if $mapped;
	return pack_sockaddr_in(53, inet_pton(AF_INET, $server));
}

sub text {
	my $address = shift;
	return "-" unless defined $address && length $address;
	my $family = sockaddr_family($address);
	my ($port, $ip) = $family == AF_INET6 ? unpack_sockaddr_in6($address) : unpack_sockaddr_in($address);
	return inet_ntop($family, $ip) . " $port";
}

my $family = sockaddr_family(address($servers[0]));
socket(my $socket, $family, $how eq "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, SO_MARK, MARK) or die "SO_MARK: $!\n" if $marked;
setsockopt($socket, SOL_SOCKET, SO_BINDTODEVICE, $bound) or die "SO_BINDTODEVICE: $!\n" if defined $bound;
setsockopt($socket, IPPROTO_IPV6, IPV6_ONLY, $only6 ? 1 : 0) or die "IPV6_V6ONLY: $!\n" if $family == AF_INET6;
$SIG{ALRM} = sub { print "no answer\n"; exit 1 };
alarm 4;

my $question = join("", map { pack("C/a", $_) } split /\./, $name) . "\0" . pack("nn", 1, 1);
my $query = pack("n6", 0x6e74, 0x0100, 1, 0, 0, 0) . $question;
my ($answer, $from) = ("", "");
if ($how eq "sendto") {
	for (@servers) { defined send($socket, $query, 0, address($_)) or die "send: $!\n" }
	$from = recv($socket, $answer, 4096, 0) // die "recv: $!\n";
} else {
	connect($socket, address($servers[0])) or die "connect: $!\n";
	if ($how eq "tcp") {
		syswrite($socket, pack("n/a*", $query));
		my $part;
		while (length $answer < 2 || length($answer) - 2 < unpack("n", $answer)) {
			sysread($socket, $part, 4096) or die "closed\n";
			$answer .= $part;
		}
		$answer = substr $answer, 2;
		$from = getpeername $socket;
	} else {
		defined send($socket, $query, 0) or die "send: $!\n";
		$from = recv($socket, $answer, 4096, 0) // die "recv: $!\n";
	}
}
my (undef, $flags, undef, $answers) = unpack "n4", $answer;
my $address = "-";
my $at = 12 + length $question;
if ($answers) {
	$at++ while (ord(substr $answer, $at) & 0xc0) != 0xc0 && ord substr $answer, $at;
	$at += (ord(substr $answer, $at) & 0xc0) == 0xc0 ? 2 : 1;
	$address = inet_ntop(AF_INET, substr $answer, $at + 10, 4);
}
print $flags & 15, " $address from ", text($from), $how eq "sendto" ? "" : " peer " . text(getpeername $socket), "\n";
