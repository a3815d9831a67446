# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# handover.gnuplot - paper A's figure 5: sequence numbers of the TCP segments that the mobile node gets, around a handover
# from IPv4 to IPv6. dir: what handover.sh wrote, svg: the picture.
set terminal svg size 900,520 font "sans,13" background "white"
set output svg
set xlabel "seconds since the link was cut"
set ylabel "sequence number, kB"
set key top left
set grid
rtt = system("cat ".dir."/rtt")
set title "TCP through a handover from IPv4 behind a NAT to IPv6, round trip ".rtt." ms"
set xrange [-0.3:1.2]
stats dir."/tcp" using (abs($1) < 1.2 ? $2 : NaN) nooutput
low = STATS_min
high = STATS_max
set yrange [low:high]
plot dir."/moments" using 1:(low):(0):(high - low) with vectors nohead lc rgb "#999999" dt 2 notitle, \
     dir."/moments" using 1:(low + (high - low) * (0.05 + 0.06 * $0)):(strcol(2)) with labels left offset 0.5,0 \
	font "sans,11" notitle, \
     dir."/tcp" using 1:2 with points pt 7 ps 0.4 lc rgb "#0060ad" title "segment"
