//! The section that draws the network.

use maud::{PreEscaped, html};

use crate::draw::draw;
use crate::error::ReportError;
use crate::section::{Body, Section};
use crate::subject::Subject;

pub(crate) const SECTION: Section = Section { id: "network", title: "Network", body: network };

fn network(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let picture = draw(&subject.plan, &subject.sizes, &subject.name);
    Ok(Some(html! {
        div class="network scroll" tabindex="0" role="region" aria-label="The network as a picture" {
            (PreEscaped(picture))
        }
    }))
}
