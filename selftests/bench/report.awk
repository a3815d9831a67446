# SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
#
# report.awk - from samples to a line a row; bench.sh says what is in it. First file: the table of bench.sh, second:
# the samples (measure.sh): "sample ROW WHO VALUE", "label WHO TEXT", "goal ROW GOAL", "note ROW TEXT", "skip ROW REASON",
# "disturbed ROW PERCENT".
# WHO is ntm, the row's reference, or another that is only told in the note.

function number(v) { return v == 0 ? "0" : sprintf(v >= 1000 || v <= -1000 ? "%.0f" : "%.4g", v) }

function rest(n,   i, text) {
	text = $n
	for (i = n + 1; i <= NF; i++)
		text = text " " $i
	return text
}

# Sets med, low and high.
function middle(key,   n, i, j, t, v) {
	n = split(samples[key], v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j] + 0 < v[j - 1] + 0; j--) {
			t = v[j]
			v[j] = v[j - 1]
			v[j - 1] = t
		}
	low = v[1] + 0
	high = v[n] + 0
	med = n % 2 ? v[(n + 1) / 2] + 0 : (v[n / 2] + v[n / 2 + 1]) / 2
	return n
}

function is_met(goal, value, ref,   limit) {
	limit = goal
	gsub(/^[^0-9.]*/, "", limit)
	if (goal ~ /^ref\+/)
		return value <= ref + limit
	if (goal ~ /^ratio/) {
		if (ref == 0)
			return 0
		value /= ref
	}
	return goal ~ />=/ ? value >= limit + 0 : value <= limit + 0
}

FNR == NR {
	unit[$1] = $3
	reference[$1] = $4
	goal[$1] = $5
	what[$1] = rest(6)
	next
}
$1 == "sample" {
	key = $2 SUBSEP $3
	if (!(key in samples))
		others[$2] = others[$2] " " $3
	samples[key] = samples[key] " " $4
}
$1 == "disturbed" { disturbed[$2]++ }
$1 == "label" { label[$2] = rest(3) }
$1 == "goal" { goal[$2] = $3 }
$1 == "note" && !noted[$0]++ { note[$2] = note[$2] (note[$2] ? "; " : "") rest(3) }

END {
	n = split(rows, row, " ")
	for (i = 1; i <= n; i++) {
		r = row[i]
		# A number without its reference is not reported.
		if (!((r, "ntm") in samples) || !((r, reference[r]) in samples))
			continue
		m = split(others[r], who, " ")
		for (j = 1; j <= m; j++)
			if (who[j] != "ntm" && who[j] != reference[r]) {
				middle(r SUBSEP who[j])
				note[r] = note[r] (note[r] ? "; " : "") (who[j] in label ? label[who[j]] : who[j]) " " number(med)
			}
		if (disturbed[r])
			note[r] = note[r] (note[r] ? "; " : "") "DISTURBED by other processes in " disturbed[r] " turns"
		middle(r SUBSEP reference[r])
		ref = med
		ref_low = low
		ref_high = high
		runs = middle(r SUBSEP "ntm")
		name = reference[r] in label ? label[reference[r]] : reference[r]
		print r, unit[r], number(med), number(low), number(high), name, number(ref), number(ref_low), number(ref_high), \
			(ref != 0 ? sprintf("%.3f", med / ref) : "-"), goal[r], \
			(goal[r] == "-" ? "-" : is_met(goal[r], med, ref) ? "yes" : "no"), note[r] ? note[r] : "-", what[r], runs
	}
}
