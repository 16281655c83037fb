# SPDX-License-Identifier: GPL-2.0
#
# The driver's peer list (docs/protocol.md, section 3), read from the file XR_PEERS names, and what it asks for:
# want_route[hex/len] with route_via, route_peer; want_mac[hex]. The kernel wrote the file, but addresses in it may come
# from another guest's claim: every field is checked, and what fails is reported and left out.

# The list changed while it was read, or the device went: the caller reads again.
function torn() { stop(3, "the peer list changes while it is read") }

function stop(code, text) {
	print "error " text
	stopped = code
	exit code
}

function warn(text) {
	gsub(/[^ -~]/, "?", text)
	warning[++warnings] = substr(text, 1, 240)
}

# key=value words of a line into F; 0 if one of them is malformed or repeated.
function fields(line, from,    word, n, i, at) {
	split("", F)
	if (line ~ /[^ -~]/)
		return 0
	n = split(line, word, " ")
	for (i = from; i <= n; i++) {
		at = index(word[i], "=")
		if (at < 2 || substr(word[i], 1, at - 1) !~ /^[a-z][a-z-]*$/ || (substr(word[i], 1, at - 1) in F))
			return 0
		F[substr(word[i], 1, at - 1)] = substr(word[i], at + 1)
	}
	return 1
}

function read_peers(path,    line, ended) {
	if ((getline line < path) <= 0)
		torn()
	if (line !~ /^xlnet / || !fields(line, 2) || !is_number(F["generation"], 1e20))
		stop(2, "the first line of the peer list is not one this program understands")
	if (F["version"] != "1")
		stop(2, "the peer list is not of version 1: install the xlnet-route that belongs to the driver")
	generation = F["generation"]
	group = F["group"] ~ /^[!-~]*$/ ? F["group"] : ""
	read_held(F["addr"])
	# The caller chose the uplink by its own reading of this line.
	if (F["uplink-mac"] != ENVIRON["XR_UPLINK_MAC"])
		torn()
	while (!ended && (getline line < path) > 0) {
		if (line ~ /^peer /)
			read_peer(line)
		else if (line ~ /^end /)
			ended = line
	}
	close(path)
	if (!fields(ended, 2) || F["generation"] != generation)
		torn()
}

# A guest that is held to its addresses is told them: what it sends from others goes by the uplink.
function read_held(list,    word, n, i, at, hex) {
	n = split(list, word, ",")
	for (i = 1; i <= n; i++) {
		at = index(word[i], "/")
		hex = parse_addr(at ? substr(word[i], 1, at - 1) : word[i])
		if (hex == "")
			continue
		held_addr[++helds] = hex
		held_len[helds] = at ? substr(word[i], at + 1) + 0 : addr_bits(hex)
	}
}

function is_held(hex,    i) {
	for (i = 1; i <= helds; i++)
		if (inside(hex, held_addr[i], held_len[i]))
			return 1
	return 0
}

function read_peer(line) {
	if (!fields(line, 2) || !is_number(F["domid"], 65535) || !is_mac(F["mac"]) || F["state"] !~ /^[a-z]+$/ || \
	    F["route"] !~ /^[01]$/) {
		warn("skipped a malformed line of the peer list: " line)
		return
	}
	peers++
	peer_domid[peers] = F["domid"]
	peer_mac[peers] = F["mac"]
	peer_state[peers] = F["state"]
	peer_routed[peers] = F["route"] + 0
	if (F["addr"] != "")
		read_addrs(peers, F["addr"])
}

function read_addrs(peer, list,    word, n, i, at, hex, len, why) {
	n = split(list, word, ",")
	for (i = 1; i <= n; i++) {
		at = index(word[i], "/")
		hex = parse_addr(at ? substr(word[i], 1, at - 1) : word[i])
		len = at ? substr(word[i], at + 1) : addr_bits(hex)
		if (hex == "" || !is_number(len, addr_bits(hex)))
			why = "not an address"
		else if ((why = unroutable(hex)) == "" && has_host_bits(hex, len))
			why = "bits beyond the prefix length are set"
		if (why != "") {
			warn("skipped address " word[i] " of peer " peer_domid[peer] ": " why)
			continue
		}
		len += 0
		if ((peer, hex "/" len) in peer_has)
			continue
		peer_has[peer, hex "/" len] = 1
		peer_dest[peer, ++peer_dests[peer]] = hex "/" len
		dest_text[hex "/" len] = len == addr_bits(hex) && at ? substr(word[i], 1, at - 1) : word[i]
		# An address two peers hold would take one's traffic to the other, so neither is routed.
		if (peer_routed[peer] && (hex "/" len in dest_peer)) {
			if (!(hex "/" len in disputed))
				warn("not routed: " word[i] " is claimed by peers " peer_domid[dest_peer[hex "/" len]] " and " peer_domid[peer])
			disputed[hex "/" len] = 1
		} else if (peer_routed[peer])
			dest_peer[hex "/" len] = peer
	}
}

# From the list and this guest's own addresses to routes and neighbours. Hosts go first: prefixes are reached through them.
function want(    p) {
	for (p = 1; p <= peers; p++)
		if (peer_routed[p])
			want_hosts(p)
	for (p = 1; p <= peers; p++)
		if (peer_routed[p])
			want_prefixes(p)
}

function want_hosts(p,    i, dest, hex, fam) {
	for (i = 1; i <= peer_dests[p]; i++) {
		dest = peer_dest[p, i]
		hex = substr(dest, 1, index(dest, "/") - 1)
		fam = family_of(hex)
		if (substr(dest, length(hex) + 2) + 0 != addr_bits(hex) || (dest in disputed) || !usable[fam])
			continue
		if (hex in own_rank) {
			warn("not routed: peer " peer_domid[p] " has this guest's own address " dest_text[dest])
			continue
		}
		if (!((p, fam) in gateway))
			gateway[p, fam] = hex
		want_mac[hex] = peer_mac[p]
		add_route(p, dest, hex, "")
	}
}

function want_prefixes(p,    i, dest, hex, len, fam, mine) {
	for (i = 1; i <= peer_dests[p]; i++) {
		dest = peer_dest[p, i]
		hex = substr(dest, 1, index(dest, "/") - 1)
		len = substr(dest, length(hex) + 2) + 0
		fam = family_of(hex)
		if (len == addr_bits(hex) || (dest in disputed) || !usable[fam])
			continue
		if (!((p, fam) in gateway)) {
			warn("not routed: " dest_text[dest] ", as peer " peer_domid[p] " has no address of that family to send to")
			continue
		}
		# Such a prefix would take the subnet of the uplink, or of another device, and with it every neighbour there.
		for (mine in any_own)
			if (inside(mine, hex, len))
				break
			else
				mine = ""
		if (mine != "") {
			warn("not routed: " dest_text[dest] " of peer " peer_domid[p] " contains this guest's own address")
			continue
		}
		add_route(p, dest, gateway[p, fam], gateway[p, fam])
	}
}

function add_route(p, dest, toward, via,    fam) {
	fam = family_of(toward)
	want_route[dest] = source_for(toward)
	route_via[dest] = via
	route_order[++routes] = dest
	routed[fam]++
}

# The guest's own address to send from: one that it is held to first, then same subnet, not deprecated, not temporary.
function source_for(hex,    i, fam, best, score, top) {
	fam = family_of(hex)
	top = -1
	for (i = 1; i <= own[fam]; i++) {
		score = own_rank[own_addr[fam, i]] + (inside(hex, own_addr[fam, i], own_len[fam, i]) ? 4 : 0) + \
			(is_held(own_addr[fam, i]) ? 8 : 0)
		if (score > top) {
			top = score
			best = own_addr[fam, i]
		}
	}
	return best
}
