//! What viewers behind weak access networks get, as a table: `cargo run -p fairlead-sfu --example estimate`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool for developers"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/weak/mod.rs"]
mod weak;

use std::time::Duration;

use netem::Weather;
use weak::call::{Call, Figures, line, ms};
use weak::film::{BUSY, Camera, ORDINARY};

const HEAD: &str = "| line | fps | stalled s | longest s | q/h/f % | took ms | sound lost % | \
                    estimate kb/s | queue ms | overflow | video+repair+sound kb/s |";

fn row(name: &str, f: &Figures) {
    let share = f.layers.map(|l| format!("{:.0}", l * 100.0)).join("/");
    let took = f.took.map(|t| t.as_millis().to_string()).join(", ");
    let queue = f.queue.map(|t| t.as_millis().to_string()).join(", ");
    let [video, audio, repair, download] = f.kilobits;
    let beside = match download > 0.0 {
        true => format!(" beside {download:.0}"),
        false => String::new(),
    };
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {share} | {took} | {:.1} | {:.0} | {queue} | {} | \
         {video:.0}+{repair:.0}+{audio:.0}{beside} |",
        f.fps,
        f.stalled,
        f.longest,
        f.unheard * 100.0,
        f.estimate,
        f.overflowed,
    );
}

/// 8 s over a good line, 8 s to settle, 22 s measured, as the baseline's runs.
fn steady(name: &str, down: Weather, up: Weather, viewers: usize, download: bool) {
    let mut call = Call::new(viewers);
    let clients: Vec<usize> = call.viewers.iter().map(|v| v.client).collect();
    let good = line(20_000_000, down.delay + up.delay, 0.0, ms(150));
    let at = call.lines.borrow_mut().open(&clients, good, good, 11);
    call.run(Duration::from_secs(8));
    call.lines.borrow_mut().change(call.world.now, at, down, up);
    if download {
        call.lines.borrow_mut().start_download(at);
    }
    call.run(Duration::from_secs(8));
    call.lines.borrow_mut().clear();
    let from = call.world.now;
    call.run(Duration::from_secs(22));
    for viewer in 0..viewers {
        row(name, &call.figures(viewer, at, from, down.delay));
    }
}

fn step(name: &str, queue: Duration, camera: Camera) {
    let [wide, narrow] = [2_000_000, 300_000].map(|rate| line(rate, ms(40), 0.0, queue));
    let good = line(20_000_000, ms(40), 0.0, ms(150));
    let mut call = Call::of(camera, 1);
    let client = call.viewers[0].client;
    let at = call.lines.borrow_mut().open(&[client], wide, good, 11);
    call.run(Duration::from_secs(20));
    for (which, weather, time) in [("2 Mb/s to 300 kb/s", narrow, 15), ("back", wide, 15)] {
        call.lines.borrow_mut().clear();
        call.lines
            .borrow_mut()
            .change(call.world.now, at, weather, good);
        let from = call.world.now;
        call.run(Duration::from_secs(time));
        row(
            &format!("{name}: {which}"),
            &call.figures(0, at, from, ms(20)),
        );
        let shown: Vec<_> = call.viewers[0]
            .shown
            .iter()
            .filter(|s| s.at >= from)
            .collect();
        let frames = |layer: u8| {
            // From when five frames in a row are of it, none of them late.
            let runs = shown.windows(5);
            let mut runs = runs.filter(|w| w.iter().all(|s| s.layer >= layer && s.took < ms(700)));
            runs.next().map(|w| (w[0].at - from).as_secs_f64())
        };
        println!(
            "    frames again {:?} s, of layer h {:?} s, of f {:?} s",
            frames(0),
            frames(1),
            frames(2)
        );
        let trace: Vec<_> = call.estimates[0]
            .iter()
            .filter(|(at, _)| *at >= from)
            .collect();
        let trace: Vec<u64> = trace
            .iter()
            .step_by(5)
            .map(|(_, e)| e.unwrap_or(0) / 1_000)
            .collect();
        println!("    estimate {trace:?}");
    }
}

fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| name.contains(o.as_str()));
    println!("{HEAD}");
    println!("|{}", "---|".repeat(11));
    for round_trip in [40, 200] {
        for loss in [0.0, 0.1, 0.3, 0.5] {
            for both in [false, true] {
                if loss == 0.0 && both {
                    continue;
                }
                let ways = if both { "both ways" } else { "down" };
                let name = format!("20 Mb/s, RTT {round_trip}, {:.0} % {ways}", loss * 100.0);
                if wanted(&name) {
                    let down = line(20_000_000, ms(round_trip), loss, ms(150));
                    let up = line(
                        20_000_000,
                        ms(round_trip),
                        if both { loss } else { 0.0 },
                        ms(150),
                    );
                    steady(&name, down, up, 1, false);
                }
            }
        }
    }
    let good = line(20_000_000, ms(40), 0.0, ms(150));
    for rate in [300, 600, 1_500] {
        for queue in [150, 300] {
            let name = format!("{rate} kb/s, queue {queue} ms");
            if wanted(&name) {
                steady(
                    &name,
                    line(rate * 1_000, ms(40), 0.0, ms(queue)),
                    good,
                    1,
                    false,
                );
            }
        }
        let name = format!("{rate} kb/s, queue 300 ms, 10 % lost too");
        if wanted(&name) {
            steady(
                &name,
                line(rate * 1_000, ms(40), 0.1, ms(300)),
                good,
                1,
                false,
            );
        }
    }
    if wanted("two share 2 Mb/s") {
        steady(
            "two share 2 Mb/s",
            line(2_000_000, ms(40), 0.0, ms(300)),
            good,
            2,
            false,
        );
    }
    if wanted("beside a download, 2 Mb/s") {
        steady(
            "beside a download, 2 Mb/s",
            line(2_000_000, ms(40), 0.0, ms(300)),
            good,
            1,
            true,
        );
    }
    for queue in [150, 300] {
        for (camera, sees) in [(ORDINARY, "ordinary"), (BUSY, "busy")] {
            let name = format!("step, queue {queue} ms, {sees} pictures");
            if wanted(&name) {
                step(&name, ms(queue), camera);
            }
        }
    }
}
