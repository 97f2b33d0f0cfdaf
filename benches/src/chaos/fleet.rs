//! The servers of one experiment.

use std::{io, time::Duration};

use tokio::time::sleep;

use crate::{lab::Lab, server::Server};

/// The servers of one experiment, all on one database.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
}

/// A server on its own takes so long to believe that others are gone.
const UNTIL_IT_JUDGES: Duration = Duration::from_secs(13);

impl Fleet {
    /// Starts them. The first makes the tables and the secrets.
    pub(crate) async fn start(
        lab: &Lab,
        count: usize,
        settings: &[(&'static str, &str)],
    ) -> io::Result<Self> {
        let mut servers = Vec::with_capacity(count);
        for number in 0..count {
            let server = Server::new(lab, number, settings)?;
            server.start().await?;
            servers.push(server);
        }
        Ok(Self { servers })
    }

    /// Waits until all of them look after each other.
    pub(crate) async fn settle(&self) {
        sleep(UNTIL_IT_JUDGES).await;
    }

    /// The address of one: as from somebody who knows nearly always which are well.
    pub(crate) fn any(&self) -> &str {
        let well: Vec<&Server> = self.servers.iter().filter(|it| it.is_well()).collect();
        let knows = !well.is_empty() && !rand::random_ratio(1, 20);
        let choice = if knows { well } else { self.servers.iter().collect() };
        &choice[rand::random_range(0..choice.len())].address
    }
}
