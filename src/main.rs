//! The command line: one call, one exit code.

mod log;
mod signals;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use sealpost::agent::{self, AgentConfig};
use sealpost::api::{self, Listening};
use sealpost::app::App;
use sealpost::config::{Auth, Config, Logging};
use sealpost::error::{Error, Result};
use sealpost::{check, data_dir, db, sources};
use tokio_util::sync::CancellationToken;

/// What the agent waits at its end for threads that cannot be stopped.
const LOOKUPS_END: Duration = Duration::from_millis(500);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A small, durable store for end-to-end-encrypted messages.
///
/// Without a command it serves on <http://127.0.0.1:5000>, with its data in ./data. Every setting can also
/// stand in Rocket.toml or in ROCKET_* variables; docs/configuration.md lists them.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve every API (the default)
    Serve(Serve),
    /// Seal and open messages on this machine, and show a page to write them
    Agent(Agent),
    /// Copy the database, while it is in use, into FILE
    Backup {
        /// The copy; appears only once it is complete and checked
        file: PathBuf,
        #[command(flatten)]
        data: DataDir,
    },
    /// Put a backup in the place of the database (the server must be stopped)
    Restore {
        /// A file made by `backup`
        file: PathBuf,
        #[command(flatten)]
        data: DataDir,
    },
    /// Look for what is wrong with the data, its files, the port and the disk
    Check(Serve),
    /// Print the server's public key and its fingerprint, making the key if there is none
    ServerKey(DataDir),
    /// Print the OpenAPI document of every HTTP API
    Openapi {
        /// Print what is mounted instead, one `METHOD /path` a line
        #[arg(long, hide = true)]
        mounted: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: Shell,
    },
}

#[derive(Args, Default)]
struct DataDir {
    /// Where the database, keys and uploads are [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Default)]
struct Serve {
    #[command(flatten)]
    data: DataDir,
    /// The address of the HTTP ports; chat_room has a setting of its own [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    address: Option<std::net::IpAddr>,
    /// An HTTP port; may be repeated, 0 takes a free one [default: 5000]
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// Use a PostgreSQL server: `postgres://user:password@host/database`
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The port of the TCP protocol chat_room, 0 for a free one [default: 8888]
    #[arg(long, value_name = "PORT")]
    chat_room_port: Option<u16>,
    /// Do not serve chat_room
    #[arg(long)]
    no_chat_room: bool,
}

#[derive(Args)]
struct Agent {
    /// The server to talk through
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000")]
    server: String,
    /// The loopback address to listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    address: std::net::IpAddr,
    /// The port of the page, 0 for a free one
    #[arg(long, value_name = "PORT", default_value_t = 5001)]
    port: u16,
    /// Where the keys are
    #[arg(long, value_name = "DIR", default_value = "./agent-data")]
    data_dir: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => serve(&flags),
        Command::Agent(flags) => agent(flags),
        Command::Backup { file, data } => backup(&file, data),
        Command::Restore { file, data } => restore(&file, data),
        Command::Check(flags) => check(&flags),
        Command::ServerKey(data) => server_key(data),
        Command::Openapi { mounted } => openapi(mounted),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sealpost", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            let cause = cause.to_string();
            let words: Vec<&str> = cause.split_whitespace().collect();
            say_error(&format!("sealpost: {}", words.join(" ")));
            ExitCode::FAILURE
        }
    }
}

/// Settings from every source, the command line last. Says what among them has no effect.
fn settings(flags: &Serve) -> Result<Config> {
    let mut sources = sources::merged();
    if let Some(data_dir) = &flags.data.data_dir {
        sources = sources.merge(("data_dir", data_dir));
    }
    if let Some(address) = flags.address {
        sources = sources.merge(("address", address));
    }
    if !flags.port.is_empty() {
        sources = sources.merge(("ports", &flags.port));
    }
    if let Some(url) = &flags.database_url {
        sources = sources.merge(("database_url", url));
    }
    if let Some(port) = flags.chat_room_port {
        sources = sources.merge(("chat_room.port", port));
    }
    if flags.no_chat_room {
        sources = sources.merge(("chat_room.enabled", false));
    }
    let config = Config::load(&sources)?;
    warn_of_settings();
    Ok(config)
}

fn warn_of_settings() {
    for warning in sources::warnings() {
        say_error(&format!("sealpost: warning: {warning}"));
    }
}

/// [`settings`] for the commands that only ask where the data is.
fn settings_in(data: DataDir) -> Result<Config> {
    settings(&Serve {
        data,
        ..Serve::default()
    })
}

fn serve(flags: &Serve) -> Result<()> {
    // Each thread's heap would begin with huge pages that are mostly empty. A kernel that knows
    // no such wish has none to waste.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let config = settings(flags)?;
    let _log = log::start(config.log_format, &config.log_filter)?;
    if config.auth == Auth::Open {
        tracing::warn!("auth = \"open\": everybody who reaches the server may act as anybody");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = App::open(config)?;
        signals::stop_on(app.shutdown.clone());
        api::serve(app.clone(), |listening| greet(&app, listening)).await
    })
}

fn agent(flags: Agent) -> Result<()> {
    let logging = Logging::load(&sources::merged())?;
    warn_of_settings();
    let _log = log::start(logging.log_format, &logging.log_filter)?;
    let config = AgentConfig {
        server: flags.server,
        address: flags.address,
        port: flags.port,
        data_dir: flags.data_dir,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        signals::stop_on(shutdown.clone());
        let served = agent::serve(config, shutdown).await;
        served.map_err(|cause| Error::Internal(cause.to_string()))
    });
    // Looking a name up cannot be stopped, and may take minutes.
    runtime.shutdown_timeout(LOOKUPS_END);
    served
}

/// Says where it listens, where the data is, and what guards it.
fn greet(app: &App, listening: &Listening) {
    for address in &listening.http {
        say(&format!(
            "sealpost listens on http://{address}  (documentation: http://{address}/docs)\n"
        ));
    }
    if let Some(address) = listening.chat_room {
        say(&format!("chat_room listens on {address}\n"));
    }
    let data = &app.config.data_dir;
    let data = data.canonicalize().unwrap_or_else(|_| data.clone());
    let place = match app.config.database_url {
        Some(_) => "PostgreSQL; keys and uploads in ",
        None => "",
    };
    say(&format!("data: {place}{}\n", data.display()));
    say(match app.config.auth {
        Auth::Protected => "protected: calls without a token are served to this machine only\n",
        Auth::Token => "every call needs its user's token\n",
        Auth::Open => "WARNING: open, everybody may act as anybody\n",
    });
}

fn backup(file: &Path, data: DataDir) -> Result<()> {
    let config = settings_in(data)?;
    let source = sqlite_file(&config)?;
    progress(&format!("copying and checking {} …", source.display()));
    db::backup(&config.data_dir, file)?;
    say(&format!("backup complete: {}\n", file.display()));
    Ok(())
}

fn restore(file: &Path, data: DataDir) -> Result<()> {
    let config = settings_in(data)?;
    let target = sqlite_file(&config)?;
    progress(&format!("checking and copying {} …", file.display()));
    // First of all: a mistyped name must not leave a data directory behind.
    db::check_is_backup(file)?;
    data_dir::make(&config.data_dir)?;
    let _lock = data_dir::lock(&config.data_dir)?;
    db::restore(file, &target)?;
    say(&format!("restored into {}\n", target.display()));
    Ok(())
}

/// The database file; PostgreSQL has tools of its own.
fn sqlite_file(config: &Config) -> Result<PathBuf> {
    match config.database_url {
        None => Ok(db::file_in(&config.data_dir)),
        Some(_) => Err(Error::Internal(
            "the data is in PostgreSQL; use pg_dump and pg_restore".into(),
        )),
    }
}

fn check(flags: &Serve) -> Result<()> {
    let config = settings(flags)?;
    progress("checking …");
    let findings = check::run(&config);
    let mut problems = 0;
    for finding in &findings {
        problems += usize::from(finding.advice.is_some());
        let advice = finding
            .advice
            .as_ref()
            .map(|advice| format!("\n        -> {advice}"))
            .unwrap_or_default();
        let mark = if finding.advice.is_some() {
            "PROBLEM"
        } else {
            "ok     "
        };
        print(&format!("{mark} {}{advice}\n", finding.text))?;
    }
    match problems {
        0 => Ok(()),
        1 => Err(Error::Internal("1 problem".into())),
        more => Err(Error::Internal(format!("{more} problems"))),
    }
}

/// The key that signs public keys (encommunication), for those who want to compare it.
fn server_key(data: DataDir) -> Result<()> {
    let config = settings_in(data)?;
    let is_missing = !config.key_file("server.key").exists();
    // A server that runs has made one; only where none runs may another be made.
    let _lock = is_missing
        .then(|| {
            data_dir::make(&config.data_dir)?;
            data_dir::lock(&config.data_dir)
        })
        .transpose()?;
    let signer = data_dir::open_signer(&config)?;
    print(&format!(
        "{}SHA256 {}\n",
        signer.public_pem(),
        signer.fingerprint()
    ))
}

fn openapi(mounted: bool) -> Result<()> {
    if !mounted {
        let document = serde_json::to_string_pretty(&api::openapi());
        let document = document.map_err(|cause| Error::Internal(cause.to_string()))?;
        return print(&format!("{document}\n"));
    }
    let lines = api::routes().into_iter().map(|route| {
        let path = route
            .uri
            .path()
            .replace('<', "{")
            .replace("..>", "}")
            .replace('>', "}");
        format!("{} {path}\n", route.method)
    });
    print(&lines.collect::<String>())
}

/// To standard output, what a command was asked for. A reader that has gone away has read enough.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Internal(
            format!("cannot write to standard output: {cause}"),
        )),
        _ => Ok(()),
    }
}

/// To standard output, beside the work: that is done, whether or not somebody reads of it.
fn say(text: &str) {
    let _ = print(text);
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// To standard error, for what takes long, when somebody watches.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        say_error(text);
    }
}
