//! The `engine` command. See [`engine::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::cli::main()
}
