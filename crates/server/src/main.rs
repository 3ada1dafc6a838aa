//! The `stanchion` program.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use stanchion_server::{Cli, Environment, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli, &Environment::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With standard error gone there is nobody left to tell but the shell.
            let _ = failure.write(&mut io::stderr().lock());
            failure.exit_code()
        }
    }
}
