//! Which network addresses lie on the public internet, and which within somebody's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges, each by its first address and how many leading bits its addresses have in common,
/// that nobody on the public internet answers from, or that lead back inside (IANA's
/// special-purpose registry, multicast, and what a cloud answers from inside itself).
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 16] = [
    v4([0, 0, 0, 0], 8),        // "this" network
    v4([10, 0, 0, 0], 8),       // private
    v4([100, 64, 0, 0], 10),    // behind a carrier's NAT
    v4([127, 0, 0, 0], 8),      // loopback
    v4([169, 254, 0, 0], 16),   // link-local; metadata services of clouds
    v4([168, 63, 129, 16], 32), // Azure's host, from each of its machines
    v4([172, 16, 0, 0], 12),    // private
    v4([192, 0, 0, 0], 24),     // protocol assignments
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // 6to4 relays
    v4([192, 168, 0, 0], 16),   // private
    v4([198, 18, 0, 0], 15),    // benchmarks
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved, broadcast
];

/// The same for IPv6. Ranges with an IPv4 address inside are out as a whole: where they lead
/// is up to a gateway that we don't know.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 11] = [
    v6([0, 0], 8),            // unspecified, loopback, IPv4-compatible, both NAT64 prefixes
    v6([0x0100, 0], 64),      // discard
    v6([0x2001, 0], 23),      // protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0x0db8], 32), // documentation
    v6([0x2002, 0], 16),      // 6to4
    v6([0x3fff, 0], 20),      // documentation
    v6([0x5f00, 0], 16),      // segment routing
    v6([0xfc00, 0], 7),       // unique local
    v6([0xfe80, 0], 10),      // link-local
    v6([0xfec0, 0], 10),      // site-local
    v6([0xff00, 0], 8),       // multicast
];

/// Whether an address lies on the public internet. An IPv4 address mapped into IPv6 counts as
/// the IPv4 address it stands for.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|(first, prefix)| {
            (address.to_bits() ^ first.to_bits()).leading_zeros() >= *prefix
        }),
        IpAddr::V6(address) => !NOT_PUBLIC_V6.iter().any(|(first, prefix)| {
            (address.to_bits() ^ first.to_bits()).leading_zeros() >= *prefix
        }),
    }
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u32) -> (Ipv4Addr, u32) {
    (Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u32) -> (Ipv6Addr, u32) {
    (Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table once more, from the registry's text, in other words than the code's.
    fn expected_v4(address: u32) -> bool {
        let [a, b, c, d] = address.to_be_bytes();
        if [a, b, c, d] == [168, 63, 129, 16] {
            return false;
        }
        !matches!(
            (a, b, c),
            (0 | 10 | 127 | 224..=255, _, _)
                | (100, 64..=127, _)
                | (169, 254, _)
                | (172, 16..=31, _)
                | (192, 0, 0 | 2)
                | (192, 88, 99)
                | (192, 168, _)
                | (198, 18 | 19, _)
                | (198, 51, 100)
                | (203, 0, 113)
        )
    }

    /// First and last address of each IPv6 range, written out.
    const EDGES_V6: [(&str, &str); 11] = [
        ("::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("100::", "100::ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    fn bits(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().to_bits()
    }

    fn is_public_v4(address: u32) -> bool {
        is_public(Ipv4Addr::from_bits(address).into())
    }

    fn is_public_v6(address: u128) -> bool {
        is_public(Ipv6Addr::from_bits(address).into())
    }

    #[test]
    fn both_edges_of_every_ipv4_range_and_their_neighbours_are_told_apart() {
        for (first, prefix) in NOT_PUBLIC_V4 {
            let first = first.to_bits();
            let last = first | u32::MAX.checked_shr(prefix).unwrap_or_default();
            for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                assert_eq!(is_public_v4(address), expected_v4(address), "{address:x}");
            }
        }
    }

    /// All of them with `NEXO_FULL_SWEEP=1`, which takes a while in an unoptimised build.
    #[test]
    fn ipv4_addresses_agree_with_the_registry() {
        let full = std::env::var_os("NEXO_FULL_SWEEP").is_some_and(|value| value == "1");
        let step = if full { 1 } else { 4_093 };
        for address in (0..=u32::MAX).step_by(step) {
            assert_eq!(is_public_v4(address), expected_v4(address), "{address:x}");
        }
    }

    #[test]
    fn both_edges_of_every_ipv6_range_are_inside_and_their_neighbours_are_not() {
        let inside = |address: u128| {
            EDGES_V6.iter().any(|(first, last)| (bits(first)..=bits(last)).contains(&address))
        };
        for (first, last) in EDGES_V6 {
            let (first, last) = (bits(first), bits(last));
            for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                assert_eq!(is_public_v6(address), !inside(address), "{address:x}");
            }
        }
    }

    #[test]
    fn well_known_public_addresses_are_public() {
        for address in ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_ipv4_address_agrees_with_the_registry_also_when_mapped(address: u32) {
            let ip = Ipv4Addr::from_bits(address);

            prop_assert_eq!(is_public_v4(address), expected_v4(address));
            prop_assert_eq!(is_public(ip.to_ipv6_mapped().into()), expected_v4(address));
            prop_assert!(!is_public(ip.to_ipv6_compatible().into()));
        }

        #[test]
        fn an_ipv4_address_within_a_translating_range_is_never_public(address: u32) {
            let address = u128::from(address);
            for prefix in ["64:ff9b::", "64:ff9b:1::", "2001::"] {
                prop_assert!(!is_public_v6(bits(prefix) | address));
            }
            prop_assert!(!is_public_v6(bits("2002::") | address << 80));
        }

        #[test]
        fn any_ipv6_address_agrees_with_the_written_out_edges(address: u128) {
            let inside = EDGES_V6.iter().any(|(first, last)| {
                (bits(first)..=bits(last)).contains(&address)
            });
            let mapped = Ipv6Addr::from_bits(address).to_ipv4_mapped().is_some();

            prop_assert!(mapped || is_public_v6(address) != inside);
        }
    }
}
