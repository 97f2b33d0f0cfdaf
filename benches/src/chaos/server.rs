//! One server process, and what is done to it.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    net::TcpListener,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nexo_bench::client::Client;
use tokio::{
    process::{Child, Command},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::lab::Lab;

const START_PATIENCE: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// One server process. It keeps its address when it is started again, and ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    number: usize,
    /// `http://host:port`.
    pub(crate) address: String,
    lab: Lab,
    settings: Vec<(&'static str, String)>,
    process: Mutex<Option<Child>>,
    is_well: AtomicBool,
}

impl Server {
    /// One that does not run yet, with these settings of its own.
    pub(crate) fn new(
        lab: &Lab,
        number: usize,
        settings: &[(&'static str, &str)],
    ) -> io::Result<Self> {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Ok(Self {
            number,
            address: format!("http://127.0.0.1:{}", free_port()?),
            lab: lab.clone(),
            settings: settings.collect(),
            process: Mutex::default(),
            is_well: AtomicBool::new(false),
        })
    }

    /// Starts it, and comes back when it is ready.
    pub(crate) async fn start(&self) -> io::Result<()> {
        let child = self.command()?.spawn()?;
        self.note_process(&child)?;
        *self.process.lock().await = Some(child);
        timeout(START_PATIENCE, self.be_ready()).await?;
        self.is_well.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn command(&self) -> io::Result<Command> {
        let log = self.lab.dir.join(format!("server-{}.log", self.number));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(&self.lab.server);
        command
            .arg("serve")
            .current_dir(&self.lab.dir)
            .env("DATABASE_URL", &self.lab.database.url)
            .env("DATA_DIR", &self.lab.data)
            .env("PORT", port)
            .env("BACKEND_URL", &self.address)
            .envs([("RATE_LIMITS", "off"), ("WEBHOOK_ALLOW_LOOPBACK", "on")])
            .envs([("MAX_CONNECTIONS_PER_ADDRESS", "8192"), ("LOG_LEVEL", "INFO")])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    /// So that the script that started us can end it if we are not let end it ourselves.
    fn note_process(&self, child: &Child) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.lab.processes)?;
        writeln!(file, "{}", child.id().unwrap_or_default())
    }

    async fn be_ready(&self) {
        while self.readiness().await.is_none_or(|status| status != 200) {
            sleep(ASK_EVERY).await;
        }
    }

    async fn readiness(&self) -> Option<u16> {
        let mut client = Client::connect(&self.address, None).await.ok()?;
        Some(client.send("GET", "/readyz", "").await.ok()?.status)
    }

    /// Whether nothing was done to it, or it has got over it.
    pub(crate) fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(&self) -> io::Result<()> {
        self.is_well.store(false, Ordering::Relaxed);
        match self.process.lock().await.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Has it stand still.
    pub(crate) async fn stop(&self) -> io::Result<()> {
        self.is_well.store(false, Ordering::Relaxed);
        self.signal("STOP").await
    }

    /// Has it go on, as if no time had passed.
    pub(crate) async fn go_on(&self) -> io::Result<()> {
        self.signal("CONT").await?;
        self.is_well.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Asks it to end, and gives how and after how long it did.
    pub(crate) async fn terminate(&self, limit: Duration) -> io::Result<(ExitStatus, Duration)> {
        self.is_well.store(false, Ordering::Relaxed);
        let asked = Instant::now();
        self.signal("TERM").await?;
        let mut process = self.process.lock().await;
        let child = process.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let status = timeout(limit, child.wait()).await??;
        *process = None;
        Ok((status, asked.elapsed()))
    }

    async fn signal(&self, name: &str) -> io::Result<()> {
        let process = self.process.lock().await;
        let id = process.as_ref().and_then(Child::id).ok_or(io::ErrorKind::NotFound)?;
        let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("no signal {name}"))) }
    }
}

/// One below those that the system gives away by itself: it has to be free again later.
fn free_port() -> io::Result<u16> {
    let tries = (0..100).map(|_| rand::random_range(20_000..32_000));
    let mut free = tries.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().ok_or_else(|| io::Error::other("no free port"))
}
