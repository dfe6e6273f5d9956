//! Who is at the other end of a connection on this machine.
//!
//! **In**: the two ends of an accepted connection. **Out**: the user of the socket at the far end, or `None` if the
//! system does not say so with certainty.
//!
//! **Guarantees.** A socket that its process has closed has no owner: for those the kernel reports user 0, and a caller that
//! sends and closes at once must not be mistaken for root. A user unknown to this process's user namespace does not count,
//! either.
//!
//! The protocol is sock_diag(7): one query and one response of the kernel, which finds the socket by its hash. Systems
//! other than Linux do not offer this.

use std::net::SocketAddr;

/// The user whose socket is the far end of a TCP connection between addresses of this machine; `near` is the end
/// that was accepted. Takes a few microseconds.
#[must_use]
pub fn tcp_peer_user(near: SocketAddr, far: SocketAddr) -> Option<u32> {
    #[cfg(target_os = "linux")]
    return linux::ask(near, far).ok().flatten();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (near, far);
        None
    }
}

/// The users whose programs listen on a TCP port of this machine; `None` if the system does not say.
#[must_use]
pub fn listening_users(port: u16) -> Option<Vec<u32>> {
    #[cfg(target_os = "linux")]
    {
        let mut users = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            match std::fs::read_to_string(table) {
                Ok(table) => users.extend(linux::listening(&table, port)),
                // A machine without IPv6 has no such table.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {}
                Err(_) => return None,
            }
        }
        Some(users)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = port;
        None
    }
}

/// The user that this process acts as.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

    /// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
    const BY_FAMILY: u16 = 20;
    /// `NLM_F_REQUEST` of `linux/netlink.h`.
    const REQUEST: u16 = 1;
    const TCP: u8 = 6;
    /// `TCP_ESTABLISHED` of `net/tcp_states.h`.
    const ESTABLISHED: u8 = 1;
    /// Length of `struct nlmsghdr`.
    const HEAD: usize = 16;
    /// Length of `struct inet_diag_req_v2`.
    const QUESTION: usize = 56;
    /// Length of `struct inet_diag_msg`.
    const ANSWER: usize = 72;
    /// What the kernel reports for a user outside the user namespace, unless configured otherwise.
    const OVERFLOW: u32 = 65_534;

    pub(super) fn ask(near: SocketAddr, far: SocketAddr) -> io::Result<Option<u32>> {
        let kernel =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
        // This does not wait: the kernel has responded when the query is sent.
        send(&kernel, &question(near, far), SendFlags::empty())?;
        let mut answer = [0; 512];
        let (_, length) = recv(&kernel, &mut answer, RecvFlags::DONTWAIT)?;
        Ok(answer.get(..length).and_then(user).filter(|user| *user != overflow()))
    }

    /// Queries the socket whose own address is the far end.
    fn question(near: SocketAddr, far: SocketAddr) -> [u8; HEAD + QUESTION] {
        let mut message = [0; HEAD + QUESTION];
        let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &((HEAD + QUESTION) as u32).to_ne_bytes());
        put(4, &BY_FAMILY.to_ne_bytes());
        put(6, &REQUEST.to_ne_bytes());
        let family = if far.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        put(HEAD, &[family.as_raw() as u8, TCP]);
        // Any state; the actual one is read from the response.
        put(HEAD + 4, &u32::MAX.to_ne_bytes());
        put(HEAD + 8, &far.port().to_be_bytes());
        put(HEAD + 10, &near.port().to_be_bytes());
        for (at, address) in [(HEAD + 12, far.ip()), (HEAD + 28, near.ip())] {
            match address {
                IpAddr::V4(address) => put(at, &address.octets()),
                IpAddr::V6(address) => put(at, &address.octets()),
            }
        }
        // The cookie that matches any socket.
        put(HEAD + 48, &[0xff; 8]);
        message
    }

    /// The user in a response about a socket that a process has open.
    fn user(answer: &[u8]) -> Option<u32> {
        let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        if kind != BY_FAMILY || answer.len() < HEAD + ANSWER {
            return None;
        }
        let (state, user, inode) = (answer[HEAD + 1], number(HEAD + 64)?, number(HEAD + 68)?);
        (state == ESTABLISHED && inode != 0).then_some(user)
    }

    /// Who listens on the port, by a table of `/proc/net`.
    pub(super) fn listening(table: &str, port: u16) -> Vec<u32> {
        let (port, lines) = (format!(":{port:04X}"), table.lines().skip(1));
        let user = |line: &str| {
            // sl, local address, remote address, state, queues, timer, retransmissions, user.
            let fields: Vec<&str> = line.split_whitespace().take(8).collect();
            let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
            listens.then(|| fields.get(7)?.parse().ok()).flatten()
        };
        lines.filter_map(user).collect()
    }

    fn overflow() -> u32 {
        let said = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        said.and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        fn both_ends(address: &str) -> Option<(TcpStream, TcpStream)> {
            // A machine without IPv6 has no such address.
            let listener = TcpListener::bind(address).ok()?;
            let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (near, _) = listener.accept().unwrap();
            Some((near, far))
        }

        #[test]
        fn the_user_of_the_other_end_is_told() {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Some((near, _far)) = both_ends(address) else { continue };
                let found = ask(near.local_addr().unwrap(), near.peer_addr().unwrap()).unwrap();
                assert_eq!(found, Some(super::super::own_user()), "{address}");
            }
        }

        #[test]
        fn who_listens_is_told_by_the_port() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(super::super::listening_users(port), Some(vec![super::super::own_user()]));
            drop(listener);
            assert_eq!(super::super::listening_users(port), Some(vec![]));
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
                 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1\n   \
                 1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1001 0 2\n";
            assert_eq!((listening(table, 8080), listening(table, 80)), (vec![1_000], vec![]));
        }

        /// A closed socket belongs to user 0 in the kernel's response: a caller that sent and closed at once was mistaken for root.
        #[test]
        fn a_socket_that_was_closed_is_nobodys() {
            let (near, far) = both_ends("127.0.0.1:0").unwrap();
            let ends = (near.local_addr().unwrap(), near.peer_addr().unwrap());
            drop(far);
            assert_eq!(ask(ends.0, ends.1).ok().flatten(), None);
            drop(near);
            assert_eq!(ask(ends.0, ends.1).ok().flatten(), None, "nor one that is gone");
        }

        #[test]
        fn an_answer_that_is_cut_short_or_an_error_names_nobody() {
            assert_eq!(user(&[]), None);
            let mut answer = vec![0; HEAD + ANSWER];
            answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
            answer[HEAD + 1] = ESTABLISHED;
            answer[HEAD + 64..HEAD + 68].copy_from_slice(&1_000_u32.to_ne_bytes());
            assert_eq!(user(&answer), None, "no inode: no process has it open");
            answer[HEAD + 68] = 7;
            assert_eq!(user(&answer), Some(1_000));
            assert_eq!(user(&answer[..HEAD + 60]), None);
            answer[4] = 2;
            assert_eq!(user(&answer), None, "an error");
        }
    }
}
