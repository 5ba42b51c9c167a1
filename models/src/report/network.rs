//! The section that draws the network.

use maud::{PreEscaped, html};

use super::{Section, Subject};
use crate::draw::draw;

pub(super) const SECTION: Section = Section { id: "network", title: "Network", body: network };

fn network(subject: &Subject<'_>) -> Result<super::Body, crate::Error> {
    let picture = draw(&subject.plan, &subject.sizes, &subject.name);
    Ok(Some(html! {
        div class="network scroll" tabindex="0" role="region" aria-label="The network as a picture" {
            (PreEscaped(picture))
        }
    }))
}
