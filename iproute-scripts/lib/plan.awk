# SPDX-License-Identifier: GPL-2.0
#
# Compares what the peer list asks for with what the kernel holds. It decides and changes nothing.
# Input: for each family a line "family 4" or "family 6", then what `ip -N -o` prints of rules, routes of our protocol,
# global addresses, the device's IPv4 addresses and its permanent neighbours; "failed" if it could not. The rest comes in XR_* of the environment.
#
# XR_MODE=plan prints one action per line:
#   4 <line>       a line for `ip -4 -batch`; 6 <line>: the same for `ip -6`; 0 <line>: for one `ip -batch`, as processes are
#                  dear in a small guest. Only of a rule `ip` cannot tell the family by itself.
#   loose          make rp_filter of the uplink loose, and remember the former value
#   restore [after]  give the former uplink its rp_filter back [once the batches are through]
#   accept <0|2>   set rp_filter of the device
#   claim <addrs>  write this to the claim file
#   made <addr> <mac> <source>  a peer's address that is routed then
#   warn <text>    a message for the operator; error <text>: nothing can be planned
# XR_MODE=status and json print the comparison instead.
#
# Exit: 0 planned, or in sync; 1 differs (status, json); 2 the list cannot be used; 3 it changed meanwhile, read again.

BEGIN {
	DUMMY = "192.0.0.8"
	mode = ENVIRON["XR_MODE"]; dev = ENVIRON["XR_DEV"]; uplink = ENVIRON["XR_UPLINK"]
	table = ENVIRON["XR_TABLE"]; pref = ENVIRON["XR_PREF"]; proto = ENVIRON["XR_PROTO"]
	if (ENVIRON["XR_PEERS"] != "")
		read_peers(ENVIRON["XR_PEERS"])
}

# `ip -o` prints a backslash where it would begin a new line.
{ gsub(/\\/, " ") }
$1 == "family" { fam = $2 + 0; next }
$1 == "failed" { stopped = stopped ? stopped : 3; next }
$1 ~ /^[0-9]+:$/ && ($2 == "from" || $2 == "not") { have_rule(); next }
$1 ~ /^[0-9]+:$/ && ($3 == "inet" || $3 == "inet6") { have_address(); next }
$2 == "lladdr" { have_neighbour(); next }
{ have_route() }

END {
	if (stopped)
		exit stopped
	for (fam = 4; fam <= 6; fam += 2)
		usable[fam] = own[fam] > 0 && ENVIRON["XR_V" fam] == 1
	if (ENVIRON["XR_UP"] == 1)
		want()
	compare()
	if (mode == "plan")
		print_plan()
	else if (mode == "json")
		print_json()
	else
		print_status()
	exit (mode != "plan" && differences > 0)
}

function has(word,    i) {
	for (i = 1; i <= NF; i++)
		if ($i == word)
			return 1
	return 0
}

function after(word,    i) {
	for (i = 1; i < NF; i++)
		if ($i == word)
			return $(i + 1)
	return ""
}

function have_rule() {
	if (after("lookup") != table || after("proto") != proto)
		return
	if ($1 == pref ":" && $2 == "from" && $3 == "all" && NF == 7 && !rule_there[fam])
		rule_there[fam] = 1
	else
		stale(fam, "rule", substr($1, 1, length($1) - 1), "rule del pref " ($1 + 0) " table " table " protocol " proto)
}

function have_address(    hex, len) {
	if ($2 == dev) {
		if (fam == 4) {
			dev_addrs++
			dummy_there = dummy_there || $4 == DUMMY "/32"
		}
		return
	}
	if (has("tentative") || has("dadfailed"))
		return
	len = $5 == "peer" ? $6 : $4
	hex = parse_addr($5 == "peer" ? $4 : substr($4, 1, index($4, "/") - 1))
	if (hex == "")
		return
	any_own[hex] = 1
	if ($2 != uplink || (hex in own_rank))
		return
	own_addr[fam, ++own[fam]] = hex
	own_len[fam, own[fam]] = substr(len, index(len, "/") + 1) + 0
	own_rank[hex] = (has("deprecated") ? 0 : 2) + (has("temporary") ? 0 : 1)
	own_text[hex] = $5 == "peer" ? $4 : substr($4, 1, index($4, "/") - 1)
	claim = claim (claims ? " " : "") own_text[hex]
	if (++claims == 16)
		claim16 = claim
}

function have_neighbour(    hex) {
	hex = parse_addr($1)
	if (hex == "")
		return
	neigh_mac[hex] = $3
	neigh_ours[hex] = after("proto") == proto
	neigh_text[hex] = $1
}

function have_route(    at, hex, len, metric, dest) {
	if (after("table") != table)
		return
	at = index($1, "/")
	hex = $1 == "default" ? "" : parse_addr(at ? substr($1, 1, at - 1) : $1)
	len = at ? substr($1, at + 1) + 0 : addr_bits(hex)
	metric = after("metric")
	dest = hex "/" len
	# What this program would never have made; told apart from a route to be replaced by metric, device or type.
	if (hex == "" || after("dev") != dev || (metric != "" && metric != (fam == 6 ? 1024 : 0)) || has("nexthop") || \
	    after("tos") != "" || (dest in have_src)) {
		stale(fam, "route", $1, "route del " ($1 ~ /^[a-z]+$/ && $1 != "default" ? $1 " " $2 : $1) \
			(after("dev") != "" && !has("nexthop") ? " dev " after("dev") : "") (metric != "" ? " metric " metric : "") \
			" table " table " proto " proto)
		return
	}
	have_src[dest] = parse_addr(after("src"))
	have_via[dest] = parse_addr(after("via"))
	have_fam[dest] = fam
	have_text[dest] = $1
}

# --- the difference -------------------------------------------------------------------------------------------------

# Phases keep the order safe: traffic leaves first (rule, routes, neighbours), a neighbour is there before its route,
# a gateway's route before what goes through it, the rule last.
function action(phase, fam, line) {
	queue[phase, fam, ++actions[phase, fam]] = line
	rules = rules || line ~ /^rule /
}

function differ(word, what, text) { difference[++differences] = word " " what " " text }

function stale(fam, what, text, line) {
	differ("stale", what, text)
	action(what == "rule" ? 1 : what == "route" ? 2 : 3, fam, line)
}

function compare(    i, fam, dest, hex) {
	for (fam = 4; fam <= 6; fam += 2) {
		if (rule_there[fam] && !routed[fam])
			stale(fam, "rule", "IPv" fam " pref " pref, "rule del pref " pref " table " table " protocol " proto)
		if (!rule_there[fam] && routed[fam]) {
			differ("missing", "rule", "IPv" fam " pref " pref " lookup " table)
			action(7, fam, "rule add pref " pref " table " table " protocol " proto)
		}
	}
	for (dest in have_src)
		if (!(dest in want_route))
			stale(have_fam[dest], "route", have_text[dest], "route del " dest_line(dest) " dev " dev " table " table " proto " proto)
	for (hex in neigh_mac)
		if (neigh_ours[hex] && !(hex in want_mac))
			stale(family_of(hex), "neighbour", neigh_text[hex], "neigh del " addr_text(hex) " dev " dev)
	for (i = 1; i <= routes; i++)
		compare_route(route_order[i])
	compare_rp_filter()
	compare_claim()
}

function dest_line(dest,    hex) {
	hex = substr(dest, 1, index(dest, "/") - 1)
	return addr_text(hex) substr(dest, index(dest, "/"))
}

function compare_route(dest,    hex, fam, via) {
	hex = substr(dest, 1, index(dest, "/") - 1)
	fam = family_of(hex)
	via = route_via[dest]
	if (via == "" && neigh_mac[hex] != want_mac[hex]) {
		neigh_state[hex] = (hex in neigh_mac) ? "differs" : "missing"
		differ(neigh_state[hex], "neighbour", dest_text[dest] " lladdr " want_mac[hex])
		action(4, fam, "neigh replace " addr_text(hex) " lladdr " want_mac[hex] " dev " dev " nud permanent protocol " proto)
	}
	if ((dest in have_src) && have_src[dest] == want_route[dest] && have_via[dest] == via)
		return
	route_state[dest] = (dest in have_src) ? "differs" : "missing"
	differ(route_state[dest], "route", dest_text[dest] " src " own_text[want_route[dest]])
	# IPv4 looks a gateway up in the main table, where it belongs to the uplink, so it has to be told (onlink); IPv6 looks in
	# this table, finds the gateway's own route, and refuses onlink.
	action(via == "" ? 5 : 6, fam, "route replace " dest_line(dest) (via != "" ? " via " addr_text(via) : "") " dev " dev \
		(fam == 4 ? (via != "" ? " onlink" : " scope link") : "") " table " table " proto " proto " src " addr_text(want_route[dest]))
}

# The kernel takes the larger of conf/all and the device's own value: 1 is strict, 2 loose, 0 no check. On the uplink
# only strict is changed. The device takes packets of peers whom this guest sends to over the uplink (they have a route
# already, or it has none any more), so it should not check. Where conf/all forces a check it has to be loose, and needs
# an address: on a device without one the kernel makes loose strict (__fib_validate_source). The address is the dummy
# of RFC 7600, of host scope, so that nothing is sent from it.
function compare_rp_filter(    all, up, any, value) {
	all = ENVIRON["XR_RP_ALL"] + 0; up = ENVIRON["XR_RP_UPLINK"] + 0
	any = routed[4] > 0
	if (ENVIRON["XR_RP_SAVED"] != "" && (!any || ENVIRON["XR_RP_SAVED"] != uplink)) {
		differ("stale", "rp_filter", ENVIRON["XR_RP_SAVED"])
		settings = settings "restore" (any ? "" : " after") "\n"
	}
	if (any && (up > all ? up : all) == 1) {
		differ("differs", "rp_filter", uplink)
		settings = settings "loose\n"
	}
	if (ENVIRON["XR_UP"] != 1 || ENVIRON["XR_FLUSH"] == 1)
		return
	value = all ? 2 : 0
	if (ENVIRON["XR_RP_DEV"] != "" && ENVIRON["XR_RP_DEV"] != value) {
		differ("differs", "rp_filter", dev)
		settings = settings "accept " value "\n"
	}
	if (all && !dev_addrs) {
		differ("missing", "address", DUMMY)
		action(4, 4, "addr add " DUMMY "/32 dev " dev " scope host")
	} else if (dummy_there && (!all || dev_addrs > 1)) {
		differ("stale", "address", DUMMY)
		action(4, 4, "addr del " DUMMY "/32 dev " dev)
	}
}

function compare_claim(    word, n, i, same) {
	if (dev == "" || ENVIRON["XR_CLAIM_READ"] != 1)
		return
	if (claims > 16) {
		warn("the uplink has " claims " addresses: the first 16 are claimed")
		claim = claim16
		claims = 16
	}
	if (ENVIRON["XR_FLUSH"] == 1) {
		claim = ""
		claims = 0
	}
	n = split(ENVIRON["XR_CLAIM"], word, " ")
	same = n == claims
	for (i = 1; i <= n; i++)
		same = same && index(" " claim " ", " " own_text[parse_addr(word[i])] " ")
	if (!same) {
		differ("differs", "claim", claim == "" ? "none" : claim)
		settings = settings "claim " claim "\n"
	}
}

function print_plan(    phase, fam, i, dest, hex) {
	for (i = 1; i <= warnings; i++)
		print "warn " warning[i]
	printf "%s", settings
	for (phase = 1; phase <= 7; phase++)
		for (fam = 4; fam <= 6; fam += 2)
			for (i = 1; i <= actions[phase, fam]; i++)
				print (rules ? fam : 0) " " queue[phase, fam, i]
	for (i = 1; i <= routes; i++) {
		dest = route_order[i]
		hex = substr(dest, 1, index(dest, "/") - 1)
		if (route_via[dest] == "")
			print "made " dest_text[dest] " " want_mac[hex] " " own_text[want_route[dest]]
	}
}
