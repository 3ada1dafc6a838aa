//! What a check and memory cost as there are more users and roles.

use std::process::Command;

use tokio::runtime::Runtime;

use crate::measure::{compare, one_by_one, report};
use crate::world::{Filled, REQUESTS, ROLES_OF_USER, Size, World};

/// Each figure, the users, and how many roles each of them holds.
const KINDS: [(&str, usize, usize); 3] = [
    ("memory_10k_users", 10_000, ROLES_OF_USER),
    ("memory_1m_assignments", 333_334, ROLES_OF_USER),
    ("memory_1m_assignments_ten_each", 100_000, 10),
];

/// Each world fills a process of its own, for memory that another has given back would be used again unnoticed.
pub(crate) fn compare_bytes() {
    for (figure, ..) in KINDS {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).arg(format!("--bytes-of={figure}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8(output.stdout).unwrap());
    }
}

/// What the process of one world does.
pub(crate) fn print_bytes_of(kind: &str) {
    let (figure, users, roles_of_user) = KINDS.into_iter().find(|(figure, ..)| *figure == kind).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let size = Size { users, ..Size::USUAL };
    let filled = runtime.block_on(Filled::new(size, &size.draw(roles_of_user)));
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!("BENCH rbac.{figure} value={:.2} unit=MB", megabytes(filled.engine_bytes));
    println!("BENCH rbac.{figure}_store value={:.2} unit=MB", megabytes(filled.store_bytes));
}

/// Cost against users and against roles. The floor grows with them as well: its memory no longer fits the processor's.
pub(crate) fn tabulate(quick: bool, runtime: &Runtime) {
    let turns = if quick { 21 } else { 51 };
    let users = [1_000, 10_000, 100_000, 1_000_000].map(|users| Size { users, ..Size::USUAL });
    let roles = [10, 100, 1_000, 10_000].map(|roles| Size { roles, ..Size::USUAL });
    let of_users = users.into_iter().map(|size| (format!("check_of_{}_users", size.users), size));
    let of_roles = roles.into_iter().map(|size| (format!("check_of_{}_roles", size.roles), size));
    // A million users take long to fill.
    for (figure, size) in of_users.chain(of_roles).filter(|(_, size)| !quick || size.users <= 100_000) {
        let world = runtime.block_on(World::new(size));
        let ours = (REQUESTS / 2, || one_by_one(REQUESTS, |request| world.check(request)));
        let floor = (REQUESTS / 2, || one_by_one(REQUESTS, |request| world.floor(request)));
        report(&figure, "floor", compare(turns, ours, floor));
    }
}
