//! The `engine` command. See [`engine::cli`].

use std::process::ExitCode;

use engine::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    engine::cli::main()
}
