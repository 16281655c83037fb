# SPDX-License-Identifier: GPL-2.0
#
# IP and MAC addresses. An IP address is held as its hexadecimal digits, 8 for IPv4 and 32 for IPv6, so that two
# spellings of one address compare equal and nothing but digits can come out again. Works with mawk, busybox and gawk.

BEGIN {
	HEX = "0123456789abcdef"
	split("0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", BITS, " ")
}

function nibble(c) { return index(HEX, c) - 1 }

function byte_at(hex, pos) { return nibble(substr(hex, pos, 1)) * 16 + nibble(substr(hex, pos + 1, 1)) }

# The digits of an address; "" if it is not one. The IPv6 form with a dotted IPv4 tail is not accepted: no address that
# may be routed has it.
function parse_addr(s) { return s ~ /:/ ? parse6(s) : parse4(s) }

function parse4(s,    part, i, n, out) {
	if (s !~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/ || length(s) > 15)
		return ""
	n = split(s, part, ".")
	for (i = 1; i <= n; i++) {
		if (length(part[i]) > 3 || part[i] + 0 > 255 || part[i] ~ /^0./)
			return ""
		out = out substr(HEX, int(part[i] / 16) + 1, 1) substr(HEX, part[i] % 16 + 1, 1)
	}
	return out
}

function parse6(s,    half, halves, head, tail) {
	s = tolower(s)
	if (s !~ /^[0-9a-f:]+$/ || length(s) > 39)
		return ""
	halves = split(s, half, "::")
	if (halves > 2 || s ~ /:::/)
		return ""
	if (halves < 2) {
		head = groups(s)
		return length(head) == 32 ? head : ""
	}
	head = half[1] == "" ? "" : groups(half[1])
	tail = half[2] == "" ? "" : groups(half[2])
	if (head == "bad" || tail == "bad" || length(head tail) > 28)
		return ""
	while (length(head tail) < 32)
		head = head "0"
	return head tail
}

function groups(s,    part, i, n, out) {
	n = split(s, part, ":")
	if (n > 8)
		return "bad"
	for (i = 1; i <= n; i++) {
		if (part[i] !~ /^[0-9a-f]+$/ || length(part[i]) > 4)
			return "bad"
		out = out substr("0000", 1, 4 - length(part[i])) part[i]
	}
	return out
}

function addr_text(hex,    i, out) {
	if (length(hex) == 8)
		return byte_at(hex, 1) "." byte_at(hex, 3) "." byte_at(hex, 5) "." byte_at(hex, 7)
	for (i = 1; i < 32; i += 4)
		out = out (i > 1 ? ":" : "") substr(hex, i, 4)
	return out
}

function family_of(hex) { return length(hex) == 8 ? 4 : 6 }

function addr_bits(hex) { return length(hex) * 4 }

function to_bits(hex,    i, out) {
	if (hex in bits_of)
		return bits_of[hex]
	for (i = 1; i <= length(hex); i++)
		out = out BITS[nibble(substr(hex, i, 1)) + 1]
	bits_of[hex] = out
	return out
}

# Whether the address, or the first address of a shorter prefix, lies in prefix/len.
function inside(hex, prefix, len) {
	return length(hex) == length(prefix) && substr(to_bits(hex), 1, len) == substr(to_bits(prefix), 1, len)
}

function has_host_bits(hex, len) { return substr(to_bits(hex), len + 1) ~ /1/ }

# Why an address may not be routed to a peer; "" if it may.
function unroutable(hex,    first) {
	if (length(hex) == 8) {
		first = byte_at(hex, 1)
		return first == 0 || first == 127 || first >= 224 ? "not a unicast address" : ""
	}
	if (hex ~ /^ff/ || hex ~ /^00000000000000000000/)
		return "not a unicast address"
	return hex ~ /^fe[89ab]/ ? "a link-local address" : ""
}

function is_mac(s) {
	return length(s) == 17 && s != "00:00:00:00:00:00" && s ~ /^[0-9a-f][02468ace]:/ && \
		s ~ /^[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]$/
}

function is_number(s, max) { return s ~ /^(0|[1-9][0-9]*)$/ && length(s) <= 20 && s + 0 <= max }
