//! What is delivered of a download: the bytes of a response, counted as they go out.
//!
//! **In**: the content of a response. **Out**: the same, and once it has ended, however that was, a note of which bytes were handed to the
//! network. A server that ends waits for these notes.
//!
//! Must never know: what a download is complete with.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use masv_protocol::{FileId, PackageId};

use super::refusal::Refusal;
use crate::Hub;
use crate::records::downloads::{self, Content, DownloadNumber, Origin, Reader};
use crate::records::links;

/// A download that responses belong to.
#[derive(Clone)]
pub(crate) struct Delivery {
    hub: Hub,
    pub(crate) number: DownloadNumber,
}

impl Delivery {
    /// The download with that number.
    pub(crate) fn of(hub: &Hub, number: DownloadNumber) -> Self {
        Self { hub: hub.clone(), number }
    }

    /// The download of a reader, which begins with this; a visit is counted. None where it is the sender who reads.
    pub(crate) async fn by(
        hub: &Hub,
        package: &PackageId,
        reader: Option<Reader>,
        origin: Origin,
    ) -> Result<Option<Self>, Refusal> {
        let number = match reader {
            None => None,
            // Nothing can be counted there: what need not be is delivered all the same.
            Some(Reader::Visitor(visit)) if hub.is_read_only() => {
                links::check_uncounted(hub.database(), visit).await?;
                None
            }
            Some(Reader::Member { .. }) if hub.is_read_only() => None,
            Some(Reader::Visitor(visit)) => Some(links::count_visit(hub.database(), visit, origin).await?),
            Some(Reader::Member { id, name }) => {
                downloads::of_member(hub.database(), package.clone(), (id, name), origin).await?
            }
        };
        Ok(number.map(|number| Self::of(hub, number)))
    }

    /// The address of a file that is read elsewhere is given out.
    pub(crate) async fn hand_out(&self, file: &FileId) -> Result<(), Refusal> {
        Ok(downloads::handed_out(self.hub.database(), self.number, file.clone()).await?)
    }
}

/// The content of a response from `start` on, counted for a download if it belongs to one.
pub(crate) fn watched<S>(delivery: Option<Delivery>, what: Content, start: u64, content: S) -> Watched<S> {
    let tally = delivery.map(|delivery| Tally { delivery, what, bytes: start..start });
    Watched { content, tally }
}

/// See [`watched`].
pub(crate) struct Watched<S> {
    content: S,
    tally: Option<Tally>,
}

/// The bytes that were taken of a response; noted when it is dropped.
struct Tally {
    delivery: Delivery,
    what: Content,
    bytes: Range<u64>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Watched<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.content).poll_next(context);
        if let (Poll::Ready(Some(Ok(block))), Some(tally)) = (&polled, &mut self.tally) {
            tally.bytes.end += block.len() as u64;
        }
        polled
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let (delivery, what, bytes) = (self.delivery.clone(), self.what.clone(), self.bytes.clone());
        // Outside of the runtime, the server has ended.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let notes = delivery.hub.server.delivery_notes.clone();
        notes.spawn_on(
            async move {
                let noted = downloads::delivered(delivery.hub.database(), delivery.number, what, bytes).await;
                if let Err(error) = noted {
                    tracing::error!(%error, "cannot note what was delivered of a download");
                }
                delivery.hub.context.call_due.notify_one();
            },
            &runtime,
        );
    }
}
