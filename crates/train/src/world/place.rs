//! Which of several processes this one is: from Secateur's variables, torchrun's or SLURM's.

/// The port where rank 0 waits if nobody says.
const PORT: u16 = 29_417;

/// This process's place among those of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which it is, from 0. Rank 0 keeps the ledger and the results.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Where rank 0 waits for the others: `host:port`.
    pub master: String,
}

impl Place {
    /// From the environment: `SECATEUR_RANK`, `SECATEUR_WORLD`, `SECATEUR_MASTER` (`host:port`); or torchrun's `RANK`,
    /// `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`; or SLURM's `SLURM_PROCID`, `SLURM_NTASKS`, and the first host of
    /// `SLURM_STEP_NODELIST` unless `MASTER_ADDR` says another. None if nothing is said, or for a single process.
    ///
    /// # Errors
    /// Names the variable that is missing or makes no sense.
    pub fn from_env() -> Result<Option<Place>, String> {
        Place::from(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from(value: impl Fn(&str) -> Option<String>) -> Result<Option<Place>, String> {
        let names = [("SECATEUR_RANK", "SECATEUR_WORLD"), ("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")];
        let Some((rank, world)) =
            names.into_iter().find(|(rank, world)| value(rank).or_else(|| value(world)).is_some())
        else {
            return Ok(None);
        };
        let count = |name: &str| -> Result<usize, String> {
            let text = value(name).ok_or_else(|| format!("{name} is not set, though its counterpart is"))?;
            text.parse().map_err(|_| format!("{name}={text} is not a whole number"))
        };
        let (at, size) = (count(rank)?, count(world)?);
        if at >= size {
            return Err(format!("{rank}={at} is not below {world}={size}"));
        }
        if size == 1 {
            return Ok(None);
        }
        let master = match (value("SECATEUR_MASTER"), value("MASTER_ADDR")) {
            (Some(master), _) => with_port(&master, None)?,
            (None, Some(host)) => with_port(&host, value("MASTER_PORT"))?,
            (None, None) => {
                let hosts = value("SLURM_STEP_NODELIST").or_else(|| value("SLURM_JOB_NODELIST"));
                let first = hosts.filter(|_| rank == "SLURM_PROCID").map(|hosts| first_host(&hosts));
                let missing = || format!("{rank} is set, but not SECATEUR_MASTER: the host:port where rank 0 waits");
                with_port(&first.ok_or_else(missing)?, value("MASTER_PORT"))?
            }
        };
        Ok(Some(Place { rank: at, size, master }))
    }
}

fn with_port(host: &str, port: Option<String>) -> Result<String, String> {
    if let (Some((_, end)), None) = (host.rsplit_once(':'), &port)
        && end.parse::<u16>().is_ok()
    {
        return Ok(host.to_owned());
    }
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| format!("MASTER_PORT={port} is not a port")))?;
    Ok(format!("{host}:{port}"))
}

/// The first host of a SLURM list such as `gpu[07-09,12],cpu1`.
fn first_host(list: &str) -> String {
    let end = list.find([',', '[']).unwrap_or(list.len());
    let (name, rest) = list.split_at(end);
    let number = rest.strip_prefix('[').map(|range| range.split([',', '-', ']']).next().unwrap_or_default());
    format!("{name}{}", number.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Place, first_host};

    fn place(said: &[(&str, &str)]) -> Result<Option<Place>, String> {
        Place::from(|name| said.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn found(rank: usize, size: usize, master: &str) -> Result<Option<Place>, String> {
        Ok(Some(Place { rank, size, master: master.into() }))
    }

    #[test]
    fn every_launchers_words_are_read() {
        assert_eq!(place(&[]), Ok(None));
        let own = [("SECATEUR_RANK", "1"), ("SECATEUR_WORLD", "4"), ("SECATEUR_MASTER", "10.0.0.1:5000")];
        assert_eq!(place(&own), found(1, 4, "10.0.0.1:5000"));
        let torch = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "node-a"), ("MASTER_PORT", "29500")];
        assert_eq!(place(&torch), found(0, 2, "node-a:29500"));
        assert_eq!(place(&[&torch[..], &own[..]].concat()), found(1, 4, "10.0.0.1:5000"), "its own come first");
        let slurm = [("SLURM_PROCID", "3"), ("SLURM_NTASKS", "8"), ("SLURM_STEP_NODELIST", "gpu[07-09,12],cpu1")];
        assert_eq!(place(&slurm), found(3, 8, "gpu07:29417"));
        assert_eq!(place(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]), Ok(None), "one process is none");
        assert_eq!(["a1,a2", "a", "b[3]"].map(first_host), ["a1", "a", "b3"]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let wrong = |said: &[(&str, &str)]| place(said).unwrap_err();
        assert!(wrong(&[("SECATEUR_RANK", "1")]).contains("SECATEUR_WORLD is not set"));
        assert!(wrong(&[("RANK", "x"), ("WORLD_SIZE", "2")]).contains("RANK=x"));
        assert!(wrong(&[("RANK", "2"), ("WORLD_SIZE", "2")]).contains("not below"));
        assert!(wrong(&[("SECATEUR_RANK", "0"), ("SECATEUR_WORLD", "2")]).contains("SECATEUR_MASTER"));
        let port = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "no")];
        assert!(wrong(&port).contains("MASTER_PORT=no"));
    }
}
