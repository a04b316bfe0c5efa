//! A chart repository: an `index.yaml` with an entity tag.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::image::digest;
use crate::log::Logged;
use crate::server::{Asked, Reply, Server, Service};

/// A running chart repository on loopback.
#[derive(Debug)]
pub struct ChartRepository {
    server: Server,
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct World {
    index: Mutex<String>,
}

impl ChartRepository {
    /// Starts a repository with these entries: versions by chart, each as `Chart.yaml` has it.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn start(entries: &Value) -> std::io::Result<Self> {
        let world = Arc::new(World::default());
        let server = Server::start(Arc::clone(&world) as Arc<dyn Service>).await?;
        let repository = Self { server, world };
        repository.set(entries);
        Ok(repository)
    }

    /// Other entries.
    pub fn set(&self, entries: &Value) {
        // YAML holds JSON.
        let index = json!({"apiVersion": "v1", "entries": entries, "generated": "2026-01-01T00:00:00Z"});
        self.set_text(&index.to_string());
    }

    /// An index as it is written.
    pub fn set_text(&self, text: &str) {
        text.clone_into(&mut self.world.index.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}/charts", self.server.address)
    }

    /// Orders a fault.
    pub fn fault(&self, fault: Fault) {
        self.server.shared.faults.add(fault);
    }

    /// What was asked.
    pub fn log(&self) -> Vec<Logged> {
        self.server.shared.log.all()
    }
}

impl Service for World {
    fn answer(&self, asked: &Asked, _own: &str) -> Reply {
        if asked.path != "/charts/index.yaml" {
            return Reply::new(404, "not found");
        }
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tag = format!("\"{}\"", digest(index.as_bytes()));
        if asked.header("if-none-match") == Some(tag.as_str()) {
            return Reply::new(304, "").with("etag", tag);
        }
        Reply::new(200, index).with("etag", tag).with("content-type", "text/yaml")
    }

    fn endless(&self, _asked: &Asked, _page: usize) -> Reply {
        Reply::new(404, "an index has no pages")
    }
}
