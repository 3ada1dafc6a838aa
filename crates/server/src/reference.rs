//! The pages of the reference, made from the code they describe.

mod page;
mod schema;

use std::io::{self, Write};

use stanchion_core::ProblemCode;

use crate::failure::{Exit, Failure};

pub use page::config_page;
pub use schema::config_schema;

/// Writes a page to standard output.
pub(crate) fn write(page: &str) -> Result<(), Failure> {
    io::stdout()
        .write_all(page.as_bytes())
        .map_err(|error| Failure::new(Exit::No, "cannot write to standard output").because(&error))
}

/// Writes the page of problem codes, in Markdown.
#[must_use]
pub fn errors_page() -> String {
    let mut page = String::from(
        "# Problem codes\n\n\
         Written by `stanchion errors`; do not edit.\n\n\
         Every refusal and every failure is answered with a problem document (RFC 9457) of the media type\n\
         `application/problem+json`. `code` is stable and made for programs; `title` says the same for every occurrence; `detail`, where\n\
         there is one, is about this one. Below the HTTP parser there is only a status, and the connection is closed.\n\n\
         | code | status | title |\n|---|---|---|\n",
    );
    for code in ProblemCode::ALL {
        page.push_str(&format!("| `{}` | {} | {} |\n", code.as_str(), code.status(), code.title()));
    }
    page
}
