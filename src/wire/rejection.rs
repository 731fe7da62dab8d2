//! Why a received datagram is discarded: one reason, one counter.
//!
//! The order of the variants is the order in which they are checked (RFC 9568 section 7.1, RFC 3768 section 7.1); the
//! first that fails is the one that counts. [`decode`](super::decode) finds those that the bytes alone decide, whoever
//! knows the configuration finds the others.

use std::fmt;

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// It carries an address of this machine as its source.
    OwnSource,
    /// TTL or hop limit is not 255; in unicast, it is lower than what was configured.
    HopLimit,
    /// It is neither for the group nor for an address of ours, or it is for the other one of the two.
    Destination,
    /// Its source is not a configured peer.
    NotAPeer,
    /// It is shorter than its header, or than the number of its addresses asks for.
    Length,
    /// An unknown version, version 2 over IPv6, or not the version of the instance.
    Version,
    /// A VRRP message, but not an ADVERTISEMENT.
    NotAdvertisement,
    /// The checksum is wrong in every form that is in use.
    Checksum,
    /// No instance has this identifier on the interface where it arrived; 0 is nobody's.
    UnknownVrid,
    /// `auth_hmac`: it bears no trailer.
    HmacMissing,
    /// `auth_hmac`: what is behind the message is no trailer.
    HmacMalformed,
    /// `auth_hmac`: no key here has the number that it names.
    HmacUnknownKey,
    /// `auth_hmac`: it was not made with the key that it names, or was changed on the way.
    HmacInvalid,
    /// `auth_hmac`: it was written too long ago, or later than now.
    HmacStale,
    /// `auth_hmac`: it is not newer than the last one of its sender.
    HmacReplay,
    /// Version 2: authenticated in another way than ours, or not at all, or ours is not.
    AuthType,
    /// Version 2: another password.
    AuthData,
    /// Version 2: another interval than ours. Either version: an interval of 0.
    Interval,
    /// It names no address.
    Count,
    /// Version 3 over IPv6: the first address is not link-local.
    LinkLocalFirst,
    /// Version 2: it serves other addresses than ours, and its sender does not own them.
    AddressList,
    /// This node owns the addresses and yields to nobody.
    LocalOwner,
}

impl Rejection {
    /// All of them, in the order of the checks.
    pub const ALL: [Self; 22] = [
        Self::OwnSource,
        Self::HopLimit,
        Self::Destination,
        Self::NotAPeer,
        Self::Length,
        Self::Version,
        Self::NotAdvertisement,
        Self::Checksum,
        Self::UnknownVrid,
        Self::HmacMissing,
        Self::HmacMalformed,
        Self::HmacUnknownKey,
        Self::HmacInvalid,
        Self::HmacStale,
        Self::HmacReplay,
        Self::AuthType,
        Self::AuthData,
        Self::Interval,
        Self::Count,
        Self::LinkLocalFirst,
        Self::AddressList,
        Self::LocalOwner,
    ];

    /// The name of its counter: lower case, words joined by underscores; stable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OwnSource => "own_source",
            Self::HopLimit => "hop_limit",
            Self::Destination => "destination",
            Self::NotAPeer => "not_a_peer",
            Self::Length => "length",
            Self::Version => "version",
            Self::NotAdvertisement => "not_advertisement",
            Self::Checksum => "checksum",
            Self::UnknownVrid => "unknown_vrid",
            Self::HmacMissing => "auth_ext_missing",
            Self::HmacMalformed => "auth_ext_malformed",
            Self::HmacUnknownKey => "auth_ext_unknown_key",
            Self::HmacInvalid => "auth_ext_invalid_hmac",
            Self::HmacStale => "auth_ext_stale",
            Self::HmacReplay => "auth_ext_replay",
            Self::AuthType => "auth_type",
            Self::AuthData => "auth_data",
            Self::Interval => "interval",
            Self::Count => "count",
            Self::LinkLocalFirst => "link_local_first",
            Self::AddressList => "address_list",
            Self::LocalOwner => "local_owner",
        }
    }

    /// What an operator reads after "peer 192.168.0.21 seen, rejected: ".
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OwnSource => "it came from an address of this machine",
            Self::HopLimit => "TTL or hop limit is not 255, below min_ttl or above max_ttl",
            Self::Destination => "sent to the wrong address (multicast against unicast, or another group)",
            Self::NotAPeer => "not a configured peer",
            Self::Length => "too short for what it announces",
            Self::Version => "protocol version",
            Self::NotAdvertisement => "not an advertisement",
            Self::Checksum => "checksum",
            Self::UnknownVrid => "unknown virtual router identifier",
            Self::HmacMissing => "auth_hmac trailer missing",
            Self::HmacMalformed => "auth_hmac trailer malformed (keepalived before 2.4.2 writes another one)",
            Self::HmacUnknownKey => "auth_hmac key number unknown here",
            Self::HmacInvalid => "auth_hmac key",
            Self::HmacStale => "auth_hmac time outside of the window: compare the two clocks",
            Self::HmacReplay => "auth_hmac replay: not newer than what was heard before",
            Self::AuthType => "auth type",
            Self::AuthData => "auth password",
            Self::Interval => "advertisement interval",
            Self::Count => "no addresses",
            Self::LinkLocalFirst => "first address is not link-local",
            Self::AddressList => "address list",
            Self::LocalOwner => "this node owns the addresses",
        }
    }

    /// Whether it means that a peer is there but cannot be understood, because the two nodes are configured differently
    /// or something between them spoils what they say. The others are noise: not for us, or not from a peer.
    #[must_use]
    pub const fn means_unusable_peer(self) -> bool {
        match self {
            Self::Version
            | Self::Checksum
            | Self::HmacMissing
            | Self::HmacMalformed
            | Self::HmacUnknownKey
            | Self::HmacInvalid
            | Self::HmacStale
            | Self::HmacReplay
            | Self::AuthType
            | Self::AuthData
            | Self::Interval
            | Self::Count
            | Self::LinkLocalFirst
            | Self::AddressList => true,
            Self::OwnSource
            | Self::HopLimit
            | Self::Destination
            | Self::NotAPeer
            | Self::Length
            | Self::NotAdvertisement
            | Self::UnknownVrid
            | Self::LocalOwner => false,
        }
    }

    /// Whether `auth_hmac` rejected it.
    #[must_use]
    pub const fn is_of_hmac(self) -> bool {
        matches!(
            self,
            Self::HmacMissing
                | Self::HmacMalformed
                | Self::HmacUnknownKey
                | Self::HmacInvalid
                | Self::HmacStale
                | Self::HmacReplay
        )
    }

    /// Whether it is told where it comes from a configured peer: with a wrong hop limit, or sent to the group where unicast
    /// is expected (or the other way round). From anybody else it is noise, and it is nobody's sign of life: a hop limit
    /// below 255 may come from anywhere.
    #[must_use]
    pub const fn means_unheard_peer(self) -> bool {
        matches!(self, Self::HopLimit | Self::Destination)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Rejection;

    #[test]
    fn all_is_complete_and_in_the_order_of_the_checks() {
        assert!(Rejection::ALL.is_sorted_by(|a, b| a < b));
        // The last variant's number says how many there are.
        assert_eq!(Rejection::ALL.len(), Rejection::LocalOwner as usize + 1);
    }

    #[test]
    fn what_may_come_from_anywhere_is_no_sign_of_life() {
        let told: Vec<_> = Rejection::ALL.into_iter().filter(|r| r.means_unheard_peer()).collect();
        assert_eq!(told, [Rejection::HopLimit, Rejection::Destination]);
        assert!(told.iter().all(|rejection| !rejection.means_unusable_peer()));
    }

    #[test]
    fn every_reason_has_a_counter_and_a_sentence_of_its_own() {
        let names: BTreeSet<_> = Rejection::ALL.map(Rejection::name).into();
        let sentences: BTreeSet<_> = Rejection::ALL.map(Rejection::sentence).into();
        assert_eq!(names.len(), Rejection::ALL.len());
        assert_eq!(sentences.len(), Rejection::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c == '_' || c.is_ascii_lowercase())));
    }

    /// Version, auth, interval, address list and checksum are what makes a peer unusable; they are told, not only counted.
    #[test]
    fn a_peer_configured_differently_is_told_from_noise() {
        let told: Vec<_> =
            Rejection::ALL.into_iter().filter(|r| r.means_unusable_peer()).map(Rejection::name).collect();
        let of_hmac = ["missing", "malformed", "unknown_key", "invalid_hmac", "stale", "replay"];
        let of_hmac = of_hmac.map(|reason| format!("auth_ext_{reason}"));
        let others = ["auth_type", "auth_data", "interval", "count", "link_local_first", "address_list"];
        let expected: Vec<_> = ["version", "checksum"].map(str::to_owned).into_iter().chain(of_hmac).collect();
        let expected: Vec<_> = expected.into_iter().chain(others.map(str::to_owned)).collect();
        assert_eq!(told, expected);
    }
}
