# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# handover.awk - the samples of handover.sh, lines "RTT CASE PART VALUE", to the table and the file `json`.
# Goals go by the round trip that was measured (case "link"), not by the delay that was asked for.
# Medians; p99 is the largest of fewer than 100.

function number(a, b) { return a + 0 > b + 0 }
function sorted(key, list,    i, j, n, t) {
	n = split(values[key], list, " ")
	for (i = 2; i <= n; i++) {
		t = list[i]
		for (j = i - 1; j > 0 && number(list[j], t); j--)
			list[j + 1] = list[j]
		list[j + 1] = t
	}
	return n
}
function quantile(key, q,    list, n, i) {
	n = sorted(key, list)
	if (!n)
		return ""
	i = int(n * q + 0.999999)
	return list[i < 1 ? 1 : i]
}
function median(key,    list, n) {
	n = sorted(key, list)
	return n ? (n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2) : ""
}
function cell(key) { return key in values ? sprintf("%.1f (%.1f)", median(key), quantile(key, 0.99)) : "-" }
function goal(rtt, case_, part, what, value, limit,    met) {
	met = value <= limit
	printf "  %-8s %-28s %8.1f, goal %.1f: %s\n", case_, what, value, limit, met ? "met" : "NOT MET"
	json_row(rtt, case_, part, what, value, limit, met)
}
function json_row(rtt, case_, part, what, value, limit, met) {
	rows = rows (rows == "" ? "" : ",\n") sprintf("  {\"row\": \"handover_%s_%s_%s\", \"value\": %s, \"unit\": \"%s\", " \
		"\"reference\": \"round trip\", \"reference_value\": %s, \"ratio\": %.3f, \"goal\": %s, \"met\": %s}", case_, part,
		what ~ /p99/ ? "p99_" rtt : rtt, value, part ~ /lost|twice|reordered/ ? "packets" : "ms", rtt, value / rtt,
		limit == "" ? "null" : "\"value<=" limit "\"", limit == "" ? "null" : met ? "true" : "false")
}

{
	key = $1 SUBSEP $2 SUBSEP $3
	values[key] = values[key] " " $4
	if (!($1 in rtts)) { rtts[$1]; rtt_list[++rtt_count] = $1 }
	if ($2 != "link" && !($2 in cases)) { cases[$2]; case_list[++case_count] = $2 }
}

END {
	paper["L2", "case1"] = 580; paper["L2", "case2"] = 470
	paper["address", "case1"] = 1710; paper["address", "case2"] = 670
	paper["tunnel", "case1"] = 170; paper["tunnel", "case2"] = 120
	paper["tcp", "case1"] = 1170; paper["tcp", "case2"] = 660
	paper["total", "case1"] = 3630; paper["total", "case2"] = 1920
	title["L2"] = "L2 handover"; title["address"] = "Acquiring IP address"; title["tunnel"] = "Tunnel establishment"
	title["tcp"] = "TCP retransmission"; title["total"] = "Total time"
	title["lost"] = "Datagrams lost"; title["twice"] = "Datagrams twice"; title["reordered"] = "Datagrams reordered"
	parts = split("L2 address tunnel tcp total lost twice reordered", part_list, " ")
	for (r = 1; r <= rtt_count; r++) {
		rtt = rtt_list[r]
		outside = median(rtt SUBSEP "link" SUBSEP "outside")
		inside = median(rtt SUBSEP "link" SUBSEP "inside")
		json_row(rtt, "link", "outside", "", outside, "", 0)
		json_row(rtt, "link", "inside", "", inside, "", 0)
		printf "\nRound trip %s ms (measured %.2f, and %.2f inside the tunnel); milliseconds: median (p99)\n%-22s %12s %12s", rtt,
			outside, inside, "", "paper, 1", "paper, 2"
		for (c = 1; c <= case_count; c++)
			printf " %16s", case_list[c]
		print ""
		for (p = 1; p <= parts; p++) {
			part = part_list[p]
			printf "%-22s %12s %12s", title[part], paper[part, "case1"], paper[part, "case2"]
			for (c = 1; c <= case_count; c++)
				printf " %16s", cell(rtt SUBSEP case_list[c] SUBSEP part)
			print ""
		}
		print ""
		for (c = 1; c <= case_count; c++) {
			name = case_list[c]
			if ((rtt, name, "tunnel") in values) {
				# No event tells of it: the path is found dead.
				found = name == "rebind" || name == "dead"
				goal(rtt, name, "tunnel", "tunnel, median", median(rtt SUBSEP name SUBSEP "tunnel"),
					found ? 3 * outside + 200 : outside + 2)
				goal(rtt, name, "tunnel", "tunnel, p99", quantile(rtt SUBSEP name SUBSEP "tunnel", 0.99),
					found ? 3 * outside + 200 : 2 * outside + 10)
				goal(rtt, name, "tcp", "TCP after it, median", median(rtt SUBSEP name SUBSEP "tcp"), inside)
			}
			if ((rtt, name, "lost") in values)
				goal(rtt, name, "lost", "lost (datagrams), p99", quantile(rtt SUBSEP name SUBSEP "lost", 0.99), 0)
		}
	}
	print "\nThe paper had Wi-Fi, Android phones and DHCP; here a virtual cable changes its network and addresses are set at once:"
	print "the first two rows cannot be compared, and so the last one cannot."
	printf "[\n%s\n]\n", rows >json
}
