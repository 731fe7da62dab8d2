//! What can go wrong, done on purpose. Each fault returns the moment it was done.
//!
//! All of it is done by the switch, or by the kernel of the machine concerned: nothing here needs another program but
//! [`World::filter`], which is the only one that can tell one unicast packet from another.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    process::{Command, Stdio},
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, send},
};

use super::{
    netns::Netns,
    packets::open_on,
    plan::Cable,
    process::on_path,
    trouble::{Result, Trouble},
    world::{Host, INTERFACE, PREFIX, World},
};

/// A one-way filter on the switch for IP protocol 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whose advertisements are dropped.
    pub from: Host,
    /// On their way to this one.
    pub to: Host,
}

impl World {
    /// Pulls a machine's cables out of the switch (it sees its carrier go) or plugs them in again.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn plug(&self, host: Host, plugged: bool) -> Result<Instant> {
        let now = Instant::now();
        self.cables(host).try_for_each(|cable| self.connect(cable, plugged))?;
        Ok(now)
    }

    /// The same for one of its interfaces.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn plug_interface(&self, host: Host, interface: &str, plugged: bool) -> Result<Instant> {
        let now = Instant::now();
        let mut meant = self.cables(host).filter(|cable| cable.interface == interface);
        meant.try_for_each(|cable| self.connect(cable, plugged))?;
        Ok(now)
    }

    fn connect(&self, cable: &Cable, plugged: bool) -> Result<()> {
        if let Some(wires) = self.wires_of(cable) {
            wires.plug(cable, plugged)?;
        }
        self.switch_rtnl().set_up(&cable.port(), plugged)
    }

    /// A frame arrives at an interface of a machine, and at nobody else's: whoever sent it is none of the machines.
    ///
    /// # Errors
    ///
    /// Where there is no such interface, and what the kernel says; a cable that is out is no error.
    pub fn deliver(&self, host: Host, interface: &str, frame: Vec<u8>) -> Result<()> {
        let cable =
            self.cables(host).find(|cable| cable.interface == interface).ok_or(Trouble::Gone("an interface"))?;
        let port = cable.port();
        let sent = self.switch().run(move || -> std::io::Result<()> {
            let socket = open_on(&port)?;
            match send(socket.as_raw_fd(), &frame, MsgFlags::empty()) {
                Ok(_) | Err(Errno::ENETDOWN) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })?;
        sent.map_err(Trouble::kernel("send a frame"))
    }

    /// Sets a machine's interface up or down, as its administrator would.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn interface_up(&self, host: Host, up: bool) -> Result<Instant> {
        let now = Instant::now();
        self.rtnl(host).set_up(INTERFACE, up)?;
        Ok(now)
    }

    /// Deletes a machine's interface.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn delete_interface(&self, host: Host) -> Result<Instant> {
        let now = Instant::now();
        self.rtnl(host).delete_link(INTERFACE)?;
        Ok(now)
    }

    /// Makes a deleted interface anew, with its own address.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn recreate_interface(&self, host: Host) -> Result<Instant> {
        let now = Instant::now();
        self.wire(host)?;
        Ok(now)
    }

    /// The switch stops (or resumes) giving multicast frames to a machine; everything else still reaches it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn hears_multicast(&self, host: Host, hears: bool) -> Result<Instant> {
        let now = Instant::now();
        self.switch_rtnl().set_multicast_flood(host.port(), hears)?;
        Ok(now)
    }

    /// Cuts two machines off from each other and from nobody else. Only one such pair at a time.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn cut_off(&self, one: Host, other: Host, cut: bool) -> Result<Instant> {
        let now = Instant::now();
        self.switch_rtnl().set_isolated(one.port(), cut)?;
        self.switch_rtnl().set_isolated(other.port(), cut)?;
        Ok(now)
    }

    /// Deletes what the nodes share from a machine by hand.
    ///
    /// # Errors
    ///
    /// What the kernel says, also where none of it is there.
    pub fn delete_service_address(&self, host: Host) -> Result<Instant> {
        let now = Instant::now();
        let mut found = false;
        for address in &self.plan().service {
            found |= self.rtnl(host).delete_everywhere(*address)?;
        }
        let nothing = Trouble::kernel(format!("delete an address from {host}"));
        if found { Ok(now) } else { Err(nothing(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))) }
    }

    /// So many addresses come and go on a machine, as fast as its kernel takes it: none of them is anybody's.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn churn(&self, host: Host, times: u32) -> Result<()> {
        let address = Ipv4Addr::new(198, 51, 100, 77);
        for _ in 0..times {
            self.rtnl(host).add_address(INTERFACE, address, PREFIX, None)?;
            self.rtnl(host).delete_address(INTERFACE, address, PREFIX)?;
        }
        Ok(())
    }

    /// Drops protocol 112 as told, multicast and unicast; an empty list drops nothing any more. Needs `nft`.
    ///
    /// # Errors
    ///
    /// Where `nft` is missing or does not accept it.
    pub fn filter(&self, silences: &[Silence]) -> Result<Instant> {
        let mut rules =
            String::from("table bridge lab\ndelete table bridge lab\ntable bridge lab {\nchain forward {\n");
        rules.push_str("type filter hook forward priority 0; policy accept;\n");
        for Silence { from, to } in silences {
            // Writing to a string cannot fail.
            let _ = writeln!(rules, "iifname {} oifname {} ip protocol 112 drop", from.port(), to.port());
        }
        rules.push_str("}\n}\n");
        self.nft(self.switch(), rules)
    }

    /// What the switch drops, as lines of nft; none: nothing any more. Needs `nft`.
    pub(crate) fn rule_the_switch(&self, lines: &str) -> Result<Instant> {
        let chain = "type filter hook forward priority 0; policy accept;";
        let rules = format!(
            "table bridge lab\ndelete table bridge lab\ntable bridge lab {{\nchain forward {{\n{chain}\n{lines}}}\n}}\n"
        );
        self.nft(self.switch(), rules)
    }

    /// A machine cannot send advertisements any more, and is told so; or it can again. Needs `nft`.
    pub(crate) fn silence_output(&self, host: Host, silent: bool) -> Result<Instant> {
        let chain = "type filter hook output priority 0; policy accept;";
        let rule = if silent { "meta l4proto 112 drop" } else { "" };
        let rules = format!(
            "table inet lab\ndelete table inet lab\ntable inet lab {{\nchain out {{\n{chain}\n{rule}\n}}\n}}\n"
        );
        self.nft(self.netns(host), rules)
    }

    /// Something between the nodes changes what protocol 112 carries from one to the other: `change` is a statement of nft,
    /// like `ip ttl set 64`. Needs `nft`.
    ///
    /// # Errors
    ///
    /// Where `nft` is missing or does not accept it.
    pub fn meddle(&self, way: Silence, change: &str) -> Result<Instant> {
        let (from, to) = (way.from.port(), way.to.port());
        let rules = format!(
            "table bridge lab\ndelete table bridge lab\ntable bridge lab {{\nchain forward {{\n\
             type filter hook forward priority 0; policy accept;\n\
             iifname {from} oifname {to} ip protocol 112 {change}\n}}\n}}\n"
        );
        self.nft(self.switch(), rules)
    }

    fn nft(&self, netns: &Netns, rules: String) -> Result<Instant> {
        let failed = |error| Trouble::Program { name: "nft".to_owned(), error };
        let done = netns.run(move || {
            // An ordinary user's PATH often lacks the directories of the administrator.
            let program = on_path("nft").ok_or(std::io::ErrorKind::NotFound)?;
            let mut nft =
                Command::new(program).args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut stdin) = nft.stdin.take() {
                stdin.write_all(rules.as_bytes())?;
            }
            let output = nft.wait_with_output()?;
            if output.status.success() {
                Ok(Instant::now())
            } else {
                Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
            }
        })?;
        done.map_err(failed)
    }
}

/// A frame with any destination that carries a VRRP datagram of anybody's choice, for the bad ones.
impl World {
    /// Sends an IP datagram of protocol 112 from a machine: `header` fields as given, `payload` as it is.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send_vrrp(&self, from: Host, destination: Ipv4Addr, hop_limit: u8, payload: Vec<u8>) -> Result<()> {
        let sent = self.netns(from).run(move || send_raw(from.address(), destination, hop_limit, &payload))?;
        sent.map_err(Trouble::kernel("send a datagram"))
    }
}

fn send_raw(source: Ipv4Addr, destination: Ipv4Addr, hop_limit: u8, payload: &[u8]) -> std::io::Result<()> {
    use socket2::{Domain, Protocol, SockAddr, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
    socket.bind(&SockAddr::from(std::net::SocketAddrV4::new(source, 0)))?;
    socket.set_multicast_if_v4(&source)?;
    socket.set_multicast_ttl_v4(u32::from(hop_limit))?;
    socket.set_ttl_v4(u32::from(hop_limit))?;
    socket.send_to(payload, &SockAddr::from(std::net::SocketAddrV4::new(destination, 0)))?;
    Ok(())
}
