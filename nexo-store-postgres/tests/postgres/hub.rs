//! Servers that hear each other through the database.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt as _, channel::mpsc};
use nexo_core::{
    AgentEvent, AgentStream, AppId, AppStore as _, Dispatcher, Heard, Hint, Hints, KeyRing,
    MessageStore as _, NewApp, NewMessage, NewThread, Nexo, Role, RunEvent, RunWatch, Scope,
    StreamHub, ThreadId, ThreadStore as _, Topic, Turn,
};
use nexo_store_postgres::{PostgresHub, PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    common::{Database, fresh_store},
    hearing::hearing,
    watch::Watch,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn hint() -> Hint {
    Hint { app: AppId::new(), thread: ThreadId::new(), topic: Topic::Message }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it never came")
}

/// All that is heard up to something.
async fn heard_up_to(hints: &mut Hints, last: Heard) -> Vec<Heard> {
    in_time(async {
        let mut all = Vec::new();
        while all.last() != Some(&last) {
            all.push(hints.next().await.expect("the hub is there"));
        }
        all
    })
    .await
}

/// Two servers that hear each other, and their database.
async fn pair() -> ([(PostgresStore, PostgresHub); 2], Database) {
    let (store, database) = fresh_store().await;
    let other = database.connect().await;
    let hubs = [hearing(&store).await, hearing(&other).await];
    let [one, two] = hubs;
    ([(store, one), (other, two)], database)
}

#[tokio::test]
async fn who_tells_something_hears_it_once() {
    let ([(_one, here), (_two, there)], _database) = pair().await;
    let mut hints = here.listen();
    let (own, others) = (hint(), hint());

    here.tell(own);
    // What the other one tells comes after what the first one told has gone round.
    let mut far = there.listen();
    heard_up_to(&mut far, Heard::Hint(own)).await;
    there.tell(others);

    let heard = heard_up_to(&mut hints, Heard::Hint(others)).await;
    let times = heard.iter().filter(|heard| **heard == Heard::Hint(own)).count();
    assert_eq!(times, 1, "{heard:?}");
}

#[tokio::test]
async fn a_lost_connection_is_made_good_and_everything_looked_at() {
    let ([(one, here), (_two, there)], _database) = pair().await;
    let mut hints = there.listen();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query ilike 'listen %'";
    let killed = sqlx::query(kill).execute(one.pool()).await.unwrap();
    assert_eq!(killed.rows_affected(), 2);

    heard_up_to(&mut hints, Heard::Everything).await;
    in_time(async {
        while !(here.reaches_others() && there.reaches_others()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    heard_up_to(&mut hints, Heard::Everything).await;

    let hint = hint();
    here.tell(hint);
    heard_up_to(&mut hints, Heard::Hint(hint)).await;
}

#[tokio::test]
async fn more_than_a_letter_holds_means_everything() {
    let ([(_one, here), (_two, there)], _database) = pair().await;
    let mut hints = there.listen();

    (0..1_000).for_each(|_| here.tell(hint()));

    heard_up_to(&mut hints, Heard::Everything).await;
}

/// A store on this database, by way of a pooler that passes no notifications on.
async fn behind_a_pooler(database: &Database) -> PostgresStore {
    let url = database.url();
    let (head, rest) = url.split_once('@').unwrap();
    let (server, rest) = rest.split_once('/').unwrap();
    let pooler = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = pooler.local_addr().unwrap();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = pooler.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(relay(client, server));
        }
    });
    // What is encrypted it could not tell apart.
    let url = format!("{head}@{address}/{rest}&sslmode=disable");
    PostgresStore::connect(&url, PostgresOptions::new(), KeyRing::generate("test")).await.unwrap()
}

async fn relay(client: TcpStream, server: TcpStream) -> Option<()> {
    let (mut asked, mut answers) = client.into_split();
    let (mut answered, mut asks) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut asked, &mut asks).await });
    loop {
        // Each message is a letter for its kind, its length after that, and the rest.
        let (kind, length) = (answered.read_u8().await.ok()?, answered.read_u32().await.ok()?);
        let mut rest = vec![0; usize::try_from(length).ok()? - 4];
        answered.read_exact(&mut rest).await.ok()?;
        if kind != b'A' {
            let head = [&[kind], &length.to_be_bytes()[..]].concat();
            answers.write_all(&[head, rest].concat()).await.ok()?;
        }
    }
}

#[tokio::test]
async fn a_pooler_that_passes_nothing_on_is_found_out() {
    let (_store, database) = fresh_store().await;
    let store = behind_a_pooler(&database).await;
    let watch = Watch::begin();
    let hub = PostgresHub::start(&store);
    let mut hints = hub.listen();

    in_time(async {
        while !watch.hub().concat().contains("carries no notifications") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    assert!(!hub.reaches_others());
    let hint = hint();
    hub.tell(hint);
    heard_up_to(&mut hints, Heard::Hint(hint)).await;
}

/// An agent that says what it is told to say.
#[derive(Debug, Default)]
struct Scripted(Mutex<Option<mpsc::UnboundedReceiver<String>>>);

impl Dispatcher for Scripted {
    fn dispatch(&self, _: Arc<Turn>) -> AgentStream {
        let said = self.0.lock().unwrap().take().expect("there is one turn");
        said.map(|text| Ok(AgentEvent::Delta(text))).boxed()
    }
}

async fn next(watch: &mut RunWatch) -> RunEvent {
    in_time(watch.next()).await.expect("there is more")
}

#[tokio::test]
async fn a_reader_on_another_server_sees_the_text_as_it_comes() {
    let ([one, two], _database) = pair().await;
    let (say, said) = mpsc::unbounded();
    let agent = Arc::new(Scripted(Mutex::new(Some(said))));
    let new = NewApp {
        webhook_url: Some("https://agent.example.com".into()),
        config: r#"{"integration":{"mode":"webhook"}}"#.parse().unwrap(),
        ..NewApp::new("ann".parse().unwrap(), "Shop")
    };
    let app = one.0.create_app(new).await.unwrap().id;
    let scope = Scope::App(app);
    let (thread, _) = one.0.create_thread(&scope, app, NewThread::default()).await.unwrap();
    let hello = NewMessage::new(Role::User, "hello");
    one.0.append_message(&scope, app, thread.id, hello).await.unwrap();
    let [here, there] = [one, two].map(|(store, hub)| {
        let builder = Nexo::builder().store(Arc::new(store)).hub(Arc::new(hub));
        builder.dispatcher("webhook", agent.clone()).build()
    });

    let run = here.engine().start(&scope, app, thread.id).await.unwrap().run();
    let mut watch = there.engine().watch(&scope, run).await.unwrap();
    for piece in ["Grüß ", "Gott"] {
        say.unbounded_send(piece.to_owned()).unwrap();
        let mut event = next(&mut watch).await;
        if let RunEvent::Meta { source, .. } = &event {
            assert_eq!(&**source, "webhook");
            event = next(&mut watch).await;
        }
        assert!(matches!(&event, RunEvent::Delta(text) if &**text == piece), "{event:?}");
    }
    drop(say);

    let RunEvent::End(end) = next(&mut watch).await else { panic!("it has not ended") };
    assert_eq!(end.message.as_ref().unwrap().content.as_deref(), Some("Grüß Gott"));
}
