//! The daemon: the protocol thread, the workers that evaluate policies, the watch on files, mail and journal.
