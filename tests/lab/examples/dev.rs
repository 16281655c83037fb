//! dev
use xlnet_lab::*;
fn main() -> anyhow::Result<()> {
    let cache = cache::Cache::open(progress::Progress::default())?;
    let images = image::images(&cache)?;
    let project = product::Project::find()?;
    let payload = project.payload(&cache, &images.build, None)?;
    for (cpus, pin, extra) in [(3, None, ""), (3, None, "kfence.sample_interval=0"), (2, Some("0-1"), "")] {
        let mut host = host::Host::boot(&cache, &images, &payload, qemu::HostConfig { cpus, ..Default::default() })?;
        let mut gs = vec![];
        for n in 1..=2 {
            gs.push(host.create_guest(guest::GuestConfig { pcpus: pin.map(str::to_owned), cmdline: extra.into(), ..guest::GuestConfig::new(n) })?);
        }
        println!("== {cpus} {pin:?} {extra}");
        for g in &gs { netperf::serve(g)?; }
        for t in [netperf::Test::TcpStream{size:64<<10}, netperf::Test::TcpStream{size:64<<10}, netperf::Test::TcpRr, netperf::Test::Ping] {
            gs[0].try_sh("nstat -n 2>/dev/null; true")?;
            println!("{} {:?}", t.name(), netperf::measure(&gs[0], t, "10.77.0.102", 5));
            println!("{}", gs[0].try_sh("nstat 2>/dev/null | grep -E 'Retrans|Timeout|Lost|OutSegs|Delayed|InErr'; cat /proc/loadavg")?.text());
            println!("{}", host.try_sh("top -b -n1 | head -12 | tail -6; ip -s -s link show vif2.0 | tail -12")?.text());
        }
    println!("{}", std::fs::read_to_string("/proc/loadavg")?);
    println!("{:?}", host.findings()?);
    }
    Ok(())
}
