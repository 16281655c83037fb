# SPDX-License-Identifier: GPL-2.0
#
# Prints the comparison of plan.awk for a person (status) or a program (status --json).

function dest_state(dest,    hex) {
	hex = substr(dest, 1, index(dest, "/") - 1)
	if (!(dest in want_route))
		return "none"
	return (dest in route_state) ? route_state[dest] : "ok"
}

function neighbour_state(dest,    hex) {
	hex = substr(dest, 1, index(dest, "/") - 1)
	if (!(hex in want_mac) || route_via[dest] != "")
		return "none"
	return (hex in neigh_state) ? neigh_state[hex] : "ok"
}

function rule_state(fam) { return rule_there[fam] ? (routed[fam] ? "ok" : "stale") : (routed[fam] ? "missing" : "none") }

function print_status(    p, i, dest) {
	if (dev == "")
		print "device     none: the module is not loaded, or the device is in another network namespace"
	else
		print "device     " dev " (" (ENVIRON["XR_UP"] ? "up" : "down: nothing is routed") ", mtu " ENVIRON["XR_MTU"] ")"
	if (ENVIRON["XR_UPLINK_MAC"] != "")
		print "group      " group ", generation " generation
	else if (generation != "")
		print "group      none: xlnetd has not answered (is it running in Domain 0?)"
	if (uplink != "")
		print "uplink     " uplink " (" ENVIRON["XR_UPLINK_MAC"] ")" (claim == "" ? " without addresses" : ": " claim)
	else if (ENVIRON["XR_UPLINK_MAC"] != "")
		print "uplink     none: no device has the address " ENVIRON["XR_UPLINK_MAC"]
	print "rule       IPv4 " rule_state(4) ", IPv6 " rule_state(6) " (pref " pref " lookup " table ")"
	print "rp_filter  all " shown(ENVIRON["XR_RP_ALL"]) ", " shown(dev) " " shown(ENVIRON["XR_RP_DEV"]) ", " shown(uplink) " " \
		shown(ENVIRON["XR_RP_UPLINK"]) (ENVIRON["XR_RP_SAVED"] != "" ? " (to be restored)" : "")
	for (p = 1; p <= peers; p++) {
		print "peer       " peer_domid[p] " (" peer_mac[p] ") " peer_state[p] (peer_routed[p] ? "" : ", not to be routed")
		for (i = 1; i <= peer_dests[p]; i++) {
			dest = peer_dest[p, i]
			print "             " dest_text[dest] "  route " dest_state(dest) ", neighbour " neighbour_state(dest)
		}
	}
	for (i = 1; i <= warnings; i++)
		print "warning    " warning[i]
	for (i = 1; i <= differences; i++)
		print "difference " difference[i]
	print differences ? differences " differences: xlnet-route reconcile makes them equal" : "in sync"
}

function shown(s) { return s == "" ? "-" : s }

function quoted(s) {
	gsub(/\\/, "\\\\", s)
	gsub(/"/, "\\\"", s)
	return "\"" s "\""
}

function or_null(s) { return s == "" ? "null" : quoted(s) }

function number_or_null(s) { return s ~ /^[0-9]+$/ ? s : "null" }

function yes(b) { return b ? "true" : "false" }

function print_json(    p, i, dest, n, word, out) {
	printf "{\"device\":%s,\"up\":%s,\"mtu\":%s,", or_null(dev), yes(ENVIRON["XR_UP"]), number_or_null(ENVIRON["XR_MTU"])
	printf "\"group\":%s,\"generation\":%s,", or_null(group), number_or_null(generation)
	printf "\"uplink\":%s,\"uplink_mac\":%s,\"uplink_addresses\":[", or_null(uplink), or_null(ENVIRON["XR_UPLINK_MAC"])
	n = split(claim, word, " ")
	for (i = 1; i <= n; i++)
		printf "%s%s", (i > 1 ? "," : ""), quoted(word[i])
	printf "],\"rule\":{\"ipv4\":\"%s\",\"ipv6\":\"%s\"},", rule_state(4), rule_state(6)
	printf "\"rp_filter\":{\"all\":%s,\"device\":%s,\"uplink\":%s,\"saved\":%s},\"peers\":[", number_or_null(ENVIRON["XR_RP_ALL"]), \
		number_or_null(ENVIRON["XR_RP_DEV"]), number_or_null(ENVIRON["XR_RP_UPLINK"]), yes(ENVIRON["XR_RP_SAVED"] != "")
	for (p = 1; p <= peers; p++) {
		printf "%s{\"domid\":%s,\"mac\":\"%s\",\"state\":\"%s\",\"route\":%s,\"addresses\":[", (p > 1 ? "," : ""), \
			peer_domid[p], peer_mac[p], peer_state[p], yes(peer_routed[p])
		for (i = 1; i <= peer_dests[p]; i++) {
			dest = peer_dest[p, i]
			out = (dest in want_route) ? own_text[want_route[dest]] : ""
			printf "%s{\"address\":\"%s\",\"route\":\"%s\",\"neighbour\":\"%s\",\"source\":%s}", (i > 1 ? "," : ""), \
				dest_text[dest], dest_state(dest), neighbour_state(dest), or_null(out)
		}
		printf "]}"
	}
	printf "],\"differences\":["
	for (i = 1; i <= differences; i++)
		printf "%s%s", (i > 1 ? "," : ""), quoted(difference[i])
	printf "],\"warnings\":["
	for (i = 1; i <= warnings; i++)
		printf "%s%s", (i > 1 ? "," : ""), quoted(warning[i])
	printf "],\"in_sync\":%s}\n", yes(differences == 0)
}
