//! What a run starts from: data, model, key, and the other processes of the run.
use super::{
    Run, RunError, record,
    resume::Behind,
    shelf::{Held, Shelf},
};
use crate::{
    config::Config,
    model::{Model, Weights},
    plan::{Plan, PlanError},
    published::Published,
    team::Team,
    world::{Place, World},
};
use privacy::{Key, Ledger};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a run starts from, this one or an earlier life of it: the data and the model.
pub(super) struct Ground {
    pub(super) config: Config,
    pub(super) root: PathBuf,
    pub(super) data: Held,
    pub(super) model: Arc<Model>,
    published: Option<Published>,
    /// The other processes of the run.
    world: Option<World>,
}

impl Ground {
    pub(super) fn survey(mut config: Config, root: &Path, shelf: &mut Shelf) -> Result<Ground, RunError> {
        config = config.settled(root)?;
        // What a folder of results holds is read before that folder may be cleared.
        let published = Published::of(&config, root).map_err(RunError::Weights)?;
        let data = shelf.get(&config, root)?;
        let model = Arc::new(Model::of_data(&config.model, &data.train)?);
        Ok(Ground { config, root: root.to_owned(), data, model, published, world: None })
    }

    /// Meets the other processes, which must have the same configuration, but for the device, and the same data.
    pub(super) fn meet(&mut self, place: Place) -> Result<(), RunError> {
        let world = World::meet(place)?;
        let mut config = self.config.clone();
        config.train.device.clear();
        let alike = "start all processes with the same file and --set";
        world.agree(("configuration", alike), config.to_toml().as_bytes())?;
        let alike = "all hosts need the same files, in the same order";
        world.agree(("data set", alike), &self.data.train.fingerprint().to_le_bytes())?;
        self.world = Some(world);
        Ok(())
    }

    pub(super) fn rank(&self) -> usize {
        self.world.as_ref().map_or(0, World::rank)
    }

    /// The key: of the seed, or of the operating system's, rank 0's for all processes.
    pub(super) fn key(&self) -> Result<Arc<Key>, RunError> {
        let key = match (self.config.train.seed, &self.world) {
            (Some(seed), _) => Key::from_seed(seed),
            (None, None) => Key::from_os()?,
            (None, Some(world)) => Key::shared(|key| world.share(key).map_err(RunError::from))?,
        };
        Ok(Arc::new(key))
    }

    /// Rank 0's plan, which on another kind of processor might differ in a last digit.
    pub(super) fn settle(&self, plan: Plan) -> Result<Plan, RunError> {
        let Some(world) = &self.world else { return Ok(plan) };
        let own = [plan.noise_multiplier, plan.epsilon].map(|x| if world.rank() == 0 { x } else { 0.0 });
        let all = world.total(&own)?;
        Ok(Plan { noise_multiplier: all[0], epsilon: all[1], ..plan })
    }

    /// Sees to it that lots can be drawn, before a folder of results is taken over.
    pub(super) fn draws(&self, plan: &Plan) -> Result<(), RunError> {
        let (sampling, rows) = (self.config.train.sampling.get(), self.data.train.units());
        let made = sampling.sampler(rows, self.data.declared, plan.lot, Arc::new(Key::from_seed(0)));
        made.map(drop).map_err(|e| PlanError::Numbers(format!("train.sampling: {e}")).into())
    }

    pub(super) fn run(
        self,
        plan: Plan,
        weights: Weights,
        key: Arc<Key>,
        ledger: Ledger,
        folder: Option<&Path>,
    ) -> Result<Run, RunError> {
        let Ground { config, root, data, model, published, world } = self;
        let devices = config.train.open_devices()?;
        let weights = engine::guard(|| weights.to(devices[0]))?;
        let (mut warnings, notes) = (record::warnings(&config, &plan), data.notes);
        warnings.extend(data.remarks);
        let rows = data.train.units();
        let mut trainer = plan.trainer(&config, &model, weights, data.train, rows, key, ledger)?;
        trainer.team = Team::new(&devices, &trainer.weights)?;
        if let Some(world) = world {
            trainer.join(world)?;
        }
        let evaluation = data.evaluation.filter(|_| trainer.team.rank() == 0);
        let behind = Behind { noises: vec![plan.noise_multiplier], ..Behind::default() };
        let folder = folder.map(Path::to_owned);
        Ok(Run {
            config,
            plan,
            warnings,
            notes,
            trainer,
            evaluation,
            folder,
            root,
            behind,
            carried: None,
            published,
            seen: Vec::new(),
        })
    }
}
