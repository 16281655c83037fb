//! dev
use xlnet_lab::*;
fn main() -> anyhow::Result<()> {
    let cache = cache::Cache::open(progress::Progress::default())?;
    let images = image::images(&cache)?;
    let project = product::Project::find()?;
    let product = project.build(&cache, &images.build)?;
    let payload = project.payload(&cache, &images.build, Some(&product))?;
    std::fs::create_dir_all("/tmp/xl/plain")?;
    payload.pack(&images, "/tmp/xl/plain".as_ref())?;
    let mut c = images
        .build
        .root
        .bind("/tmp/xl/plain", "/lab/run")
        .command("sh");
    c.args(["-c", "cd /lab/run; tar xf payload.tar ./lab; timeout 45 qemu-system-x86_64 -accel tcg -cpu max,-erms -m 320 -nographic -no-reboot -kernel lab/vmlinuz -initrd lab/guest-initrd -nic none -append 'console=ttyS0 loglevel=6 panic=1 rdinit=/usr/lib/systemd/systemd systemd.unit=lab.target systemd.hostname=g1 systemd.show_status=1' < /dev/null > console.log 2>&1"]);
    println!("{:?}", c.status());
    Ok(())
}
