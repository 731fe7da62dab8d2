//! What is made wrong on purpose, between the nodes and their world, to see that the checks find it.

/// A fault of the program that a simulation must not overlook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// An advertisement that could not be sent counts as sent: the lease is renewed all the same (R9).
    RenewBeforeSend,
    /// The down timer fires before waiting packets are read (R29).
    ClockBeforePackets,
    /// Nobody is asked before a takeover (R3).
    NoClaim,
    /// An address whose lease is over is put back without a look at the clock (R10).
    PutBackBlindly,
    /// Priority 0 counts as the master's own, whoever sends it (R17).
    PriorityZeroFromAnybody,
    /// Addresses have no lifetime (R8).
    LeaseForEver,
    /// An address that is let go stays in the kernel (RFC 9568, 6.4.2).
    KeepWhatIsReleased,
    /// A new master announces nothing (RFC 9568, 6.4.2).
    NoAnnouncement,
    /// Advertisements that arrive are not read.
    Deaf,
    /// Verdicts of policies do not reach the node.
    VerdictsIgnored,
    /// Time stands still while the machine is frozen, as with `CLOCK_MONOTONIC` over a suspend (R28).
    ClockStopsWhileFrozen,
    /// Whoever asks the witness believes that it has what it wants, whatever is said.
    WitnessIgnored,
    /// The keeper of a daemon that was killed removes its addresses and does not resign for it (R17).
    KeeperSilent,
    /// A resignation is not read (R17).
    DeafToResignations,
    /// The down timer is longer than the configuration says (RFC 9568, 6.4.2).
    DownTimerTooLong,
    /// An address that somebody deleted is not put back (R11).
    DeletedForGood,
    /// A master goes on beside one that it hears at a higher priority (RFC 9568, 6.4.3).
    NeverYields,
    /// A master takes no notice of another machine that answers for its address (R19b).
    BlindToConflicts,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::RenewBeforeSend,
        Self::ClockBeforePackets,
        Self::NoClaim,
        Self::PutBackBlindly,
        Self::PriorityZeroFromAnybody,
        Self::LeaseForEver,
        Self::KeepWhatIsReleased,
        Self::NoAnnouncement,
        Self::Deaf,
        Self::VerdictsIgnored,
        Self::ClockStopsWhileFrozen,
        Self::WitnessIgnored,
        Self::KeeperSilent,
        Self::DeafToResignations,
        Self::DownTimerTooLong,
        Self::DeletedForGood,
        Self::NeverYields,
        Self::BlindToConflicts,
    ];
}
