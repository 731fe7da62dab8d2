//! `ha probe EXPR`: one probe, explained: what was asked, with every default, what was answered, what it needs, how it
//! becomes a rule, and how a test fakes it. Works without a configuration.
//!
//! 0 ok, 1 the expression is wrong, 2 not ok, 3 this machine could not look, 64 usage.

mod expression;
mod listening;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;

use self::{
    expression::Expression,
    listening::{Exchange, Listening},
    report::Attempt,
};
use super::{CONFIG, Code, address, machine, output, paint::Paint};
use crate::{
    config::{self, Config, Instance, Permits},
    daemon::policies::DriverClock,
    linux::{enter_network, time_status},
    policy::{Clock, Context, Engine, Judge, NodeFacts, probe::Prober},
    probe::RealProber,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A probe as a policy writes it: 'http("http://192.168.0.20/")', or several: 'any([ping("…"), ping("…")])'
    #[arg(value_name = "EXPR")]
    expression: String,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How long from one to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// The instance whose node and peers the expression sees, and in whose network the probe is made; else the first one
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// The configuration they come from, if it is there
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let engine = Engine::new();
    let expression = match Expression::compile(&engine, &arguments.expression) {
        Ok(expression) => expression,
        Err(problems) => {
            output::complain(&problems);
            return Code(1);
        }
    };
    match known(arguments).and_then(|(context, permits)| attempt(arguments, &engine, &expression, &context, &permits)) {
        Ok(code) => code,
        Err(usage) => {
            output::complain(&usage);
            Code::USAGE
        }
    }
}

/// What the expression may know and use: what is configured, or nothing but the name of the machine.
fn known(arguments: &Arguments) -> Result<(Context, Permits), String> {
    let wants = arguments.instance.is_some()
        || ["node.", "peer", "secret(", "exec("].iter().any(|word| arguments.expression.contains(word))
        || arguments.config != Path::new(CONFIG);
    match config::load(&arguments.config) {
        Ok(loaded) => {
            address::enter_network_of(&arguments.config)?;
            let instance = of_name(arguments.instance.as_deref(), &loaded.config)?;
            // Where its policies look from.
            instance.netns.as_ref().map_or(Ok(()), |netns| enter_network(&netns.path()))?;
            let context = machine::context(&loaded.config, instance, None);
            Ok((context, loaded.config.permits))
        }
        Err(problems) if wants => {
            let what = if arguments.expression.contains("exec(") {
                ", whose allow_exec lists the programs that may be started"
            } else {
                ""
            };
            Err(format!("the expression needs a configuration{what}; name it with -c FILE:\n{problems}"))
        }
        Err(_) => Ok((Context { node: nobody(), ..Context::default() }, Permits::default())),
    }
}

fn of_name<'c>(name: Option<&str>, config: &'c Config) -> Result<&'c Instance, String> {
    let mut instances = config.instances.iter();
    let instance = match name {
        Some(name) => instances.find(|instance| instance.name == name),
        None => instances.next(),
    };
    instance.ok_or_else(|| format!("the configuration has no instance {}", name.unwrap_or_default()))
}

/// A node of which nothing is configured.
fn nobody() -> NodeFacts {
    NodeFacts {
        name: fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        addr: String::new(),
        iface: String::new(),
        instance: String::new(),
        vip: String::new(),
        vips: Vec::new(),
        ..NodeFacts::default()
    }
}

fn attempt(
    arguments: &Arguments,
    engine: &Engine,
    expression: &Expression,
    context: &Context,
    permits: &Permits,
) -> Result<Code, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the probe cannot be started: {error}"))?;
    let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
    let real = RealProber::new(runtime.handle().clone());
    real.permit(permits);
    real.read_time_by(time_status);
    let mut attempts = Vec::new();
    for number in 0..arguments.count {
        if number > 0 {
            thread::sleep(arguments.interval);
        }
        let listening = Arc::new(Listening::to(real.clone()));
        let prober: Arc<dyn Prober> = Arc::clone(&listening) as Arc<dyn Prober>;
        let report = Judge::new().evaluate(engine, expression.policy(), 0, context, &prober, &clock);
        let exchanges: Vec<Exchange> = listening.heard();
        let attempt = Attempt::of(&report, exchanges, expression);
        if !arguments.json {
            output::print(&attempt.text(number, expression, Paint::of_stdout()));
        }
        attempts.push(attempt);
    }
    runtime.shutdown_background();
    let code = attempts.iter().map(Attempt::code).max_by_key(|code| code.0).unwrap_or(Code::OK);
    if arguments.json {
        output::print_json(&report::document(&attempts, expression, code));
    }
    Ok(code)
}
