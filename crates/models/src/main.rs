//! The program `wholly-models`: small models explored whole, each with wrong twins that it must
//! catch.

mod barrier;
mod coordinator;
mod participant;
mod plan;
mod resubmission;
mod retention;
mod run;
mod saga_turn;
mod two_initiators;

use run::{CounterExample, Explored, Subject};
use std::process::ExitCode;
use std::time::Instant;

const SUBJECTS: &[Subject] = &[
    two_initiators::SUBJECT,
    resubmission::SUBJECT,
    retention::SUBJECT,
    barrier::SUBJECT,
    saga_turn::SUBJECT,
];

const USAGE: &str = "\
wholly-models [NAME…] [--json]

  NAME    only these models; all of them if none is named
  --json  one line for programs";

/// How the results are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Json,
}

/// What came of one model and its wrong twins.
struct Result {
    name: &'static str,
    explored: Explored,
    seconds: f64,
    wrong: Vec<(&'static str, Option<CounterExample>)>,
}

fn main() -> ExitCode {
    let (chosen, form) = match arguments() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut results = Vec::new();
    for subject in chosen {
        let began = Instant::now();
        let explored = (subject.explore)();
        let seconds = began.elapsed().as_secs_f64();
        let wrong = subject.wrong.iter().map(|(name, run)| (*name, run())).collect();
        let result = Result { name: subject.name, explored, seconds, wrong };
        if form == Form::Lines {
            print(&result);
        }
        results.push(result);
    }
    if form == Form::Json {
        println!("{{\"models\":[{}]}}", list(&results, Result::json));
    }
    match results.iter().all(Result::is_good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn arguments() -> std::result::Result<(Vec<&'static Subject>, Form), String> {
    let (mut chosen, mut form) = (Vec::new(), Form::Lines);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => form = Form::Json,
            name => {
                let subject = SUBJECTS.iter().find(|subject| subject.name == name);
                chosen.push(subject.ok_or_else(|| {
                    let names: Vec<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
                    format!("there is no model `{name}`; there are {}", names.join(", "))
                })?);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(SUBJECTS);
    }
    Ok((chosen, form))
}

fn print(result: &Result) {
    let Result { name, explored, seconds, wrong } = result;
    let Explored { states, depth, always, sometimes, .. } = explored;
    println!("{name}: {states} states, {depth} steps deep, {seconds:.1} s");
    for property in always {
        match explored.violations.iter().find(|found| found.property == *property) {
            None => println!("  always     {property}"),
            Some(found) => print_way("  BROKEN     ", found),
        }
    }
    for property in sometimes {
        match explored.missed.contains(property) {
            false => println!("  reached    {property}"),
            true => println!("  NEVER      {property}"),
        }
    }
    for (bug, found) in wrong {
        match found {
            Some(found) => {
                let steps = found.steps.len();
                println!("  caught     {bug}: in {steps} steps, {}", found.property);
            }
            None => println!("  NOT CAUGHT {bug}"),
        }
    }
}

fn print_way(prefix: &str, found: &CounterExample) {
    println!("{prefix}{}", found.property);
    for step in &found.steps {
        println!("               {step}");
    }
}

impl Result {
    fn is_good(&self) -> bool {
        self.explored.violations.is_empty()
            && self.explored.missed.is_empty()
            && self.wrong.iter().all(|(_, found)| found.is_some())
    }

    /// Every name is a text of ours without quotes, so that nothing needs escaping.
    fn json(&self) -> String {
        let Result { name, explored, seconds, .. } = self;
        let Explored { states, depth, always, sometimes, violations, missed } = explored;
        let wrong = list(&self.wrong, |(name, found)| match found {
            Some(found) => {
                let (steps, by) = (found.steps.len(), found.property);
                format!("{{\"name\":\"{name}\",\"caught\":true,\"steps\":{steps},\"by\":\"{by}\"}}")
            }
            None => format!("{{\"name\":\"{name}\",\"caught\":false}}"),
        });
        format!(
            "{{\"name\":\"{name}\",\"states\":{states},\"depth\":{depth},\"seconds\":{seconds:.1},\
             \"always\":[{}],\"sometimes\":[{}],\"violations\":[{}],\"missed\":[{}],\
             \"wrong\":[{wrong}]}}",
            list(always, quoted),
            list(sometimes, quoted),
            list(violations, |found| quoted(&found.property)),
            list(missed, quoted),
        )
    }
}

fn list<T>(items: &[T], json: impl Fn(&T) -> String) -> String {
    items.iter().map(json).collect::<Vec<_>>().join(",")
}

fn quoted(text: &&'static str) -> String {
    format!("\"{text}\"")
}
