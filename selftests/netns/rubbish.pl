#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# rubbish.pl - what strangers may send to a UDP port; bad_input.sh runs it. Needs no more than perl-base.
#
#	rubbish.pl random ADDRESS PORT COUNT	random bytes of random length, every second packet with a known type byte
#	rubbish.pl handshakes ADDRESS PORT COUNT	packets with the form of first handshake messages
#	rubbish.pl replay ADDRESS PORT PCAP	the UDP payloads of a capture of Ethernet and IPv4, as they were
#	rubbish.pl damaged ADDRESS PORT PCAP	each of them cut off somewhere, and once more with one bit changed
#	rubbish.pl probe ADDRESS PORT COUNT	one by one, waiting a moment for an answer: tells "sent N answered N longer N"
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;

my ($how, $address, $port, $what) = @ARGV;
die "usage: rubbish.pl HOW ADDRESS PORT COUNT|PCAP\n" unless defined $what;
my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Proto => "udp") or die "socket: $@\n";
my @types = (1 .. 10, 0x40 .. 0x4f, 0x80 .. 0x8f);
my $sent = 0;
srand(1); # the same every time

sub bytes { join "", map { chr int rand 256 } 1 .. $_[0] }

# Refused (the port closed) is no reason to end.
sub give {
	$socket->syswrite($_[0]);
	$sent++;
	select undef, undef, undef, 0.001 unless $sent % 20; # 20000 packets a second at most
}

sub payloads { # of a pcap file in the byte order of this machine
	open my $file, "<:raw", $_[0] or die "$_[0]: $!\n";
	my ($head, $frame, @found);
	read $file, $head, 24;
	while (read($file, $head, 16) == 16) {
		my ($seconds, $fraction, $length) = unpack "L3", $head;
		read $file, $frame, $length;
		next unless length $frame > 42 && substr($frame, 12, 2) eq "\x08\0" && ord(substr $frame, 23, 1) == 17;
		push @found, substr $frame, 14 + (ord(substr $frame, 14, 1) & 15) * 4 + 8;
	}
	return @found;
}

# An echo request, which is to be answered; and packets of each type with nothing in them that anybody knows.
sub probe_packet {
	my $n = shift;
	return "\x09" . bytes(7) . "\0" x 32 if $n % 4 == 0;
	return chr($types[rand @types]) . bytes(15 + int rand 200);
}

if ($how eq "random") {
	give(($_ % 2 ? chr $types[rand @types] : "") . bytes(int rand 1400)) for 1 .. $what;
} elsif ($how eq "handshakes") {
	my $rest = bytes(4096);
	give(($_ % 2 ? "\x01" : "\x05") . pack("N", $_) . substr $rest, rand 3000, 139 + $_ % 200) for 1 .. $what;
} elsif ($how eq "replay") {
	give($_) for payloads($what);
} elsif ($how eq "damaged") {
	for my $payload (payloads($what)) {
		give(substr $payload, 0, int rand length $payload);
		my $bit = int rand 8 * length $payload;
		substr($payload, $bit / 8, 1) ^= chr 1 << $bit % 8;
		give($payload);
	}
} elsif ($how eq "probe") {
	my ($answered, $longer, %asked) = (0, 0);
	my $ready = IO::Select->new($socket);
	for my $n (1 .. $what) {
		my $packet = probe_packet($n);
		# An answer has the transaction of what it answers, or the ID; it may come after the next question.
		$asked{substr $packet, 1, 7} = $asked{substr $packet, 8, 8} = length $packet;
		$socket->syswrite($packet);
		$sent++;
		while ($ready->can_read($n < $what ? 0.01 : 0.5)) {
			my $answer;
			defined $socket->sysread($answer, 65536) or last;
			$answered++;
			my $length = length $answer < 16 ? undef : $asked{substr $answer, 1, 7} // $asked{substr $answer, 8, 8};
			$longer++ if !defined $length || length $answer > $length;
		}
	}
	print "sent $sent answered $answered longer $longer\n";
	exit 0;
} else {
	die "rubbish.pl: what is $how?\n";
}
print "sent $sent\n";
