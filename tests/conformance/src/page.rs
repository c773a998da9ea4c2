//! A page without a document: a JavaScript engine, the glue that binds the names of the specifications,
//! and an event loop.

use crate::agenda::{Agenda, Idle};
use crate::checkout::{Checkout, Script, TestFile};
use crate::door::World;
use crate::harness::{HarnessStatus, Outcome};
use crate::user::User;
use rquickjs::context::EvalOptions;
use rquickjs::{CatchResultExt, Context, Ctx, Function, Object, Runtime, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The engine gave up, or our glue is at fault.
    #[error("the page could not be set up: {0}")]
    Engine(String),
}

/// Runs a test file to its end, and as long as it is given.
///
/// # Errors
/// [`PageError`], for which the file is not to blame. What the file does wrong is in the outcome.
pub fn run(
    file: &TestFile,
    checkout: &Checkout,
    user: &User,
    patience: Duration,
) -> Result<Outcome, PageError> {
    let deadline = Instant::now() + patience;
    let world = World::new(file, checkout.clone(), user);
    let mut page = Page::new(world, deadline)?;
    page.load(&file.scripts)?;
    page.live(user, deadline);
    let world = page.world.borrow();
    Ok(world.outcome())
}

struct Page {
    // The world first: what it holds of our objects may be torn down in any order, the engine last.
    world: Rc<RefCell<World>>,
    context: Context,
    runtime: Runtime,
    rejected: Rc<Cell<bool>>,
}

const GLUE: [(&str, &str); 18] = [
    ("webidl.js", include_str!("../glue/webidl.js")),
    ("dom.js", include_str!("../glue/dom.js")),
    ("media.js", include_str!("../glue/media.js")),
    ("blob.js", include_str!("../glue/blob.js")),
    ("record.js", include_str!("../glue/record.js")),
    ("sound.js", include_str!("../glue/sound.js")),
    ("canvas.js", include_str!("../glue/canvas.js")),
    ("file-reader.js", include_str!("../glue/file-reader.js")),
    (
        "rtc-dictionaries.js",
        include_str!("../glue/rtc-dictionaries.js"),
    ),
    ("rtc-errors.js", include_str!("../glue/rtc-errors.js")),
    (
        "rtc-certificate.js",
        include_str!("../glue/rtc-certificate.js"),
    ),
    (
        "rtc-descriptions.js",
        include_str!("../glue/rtc-descriptions.js"),
    ),
    ("rtc-media.js", include_str!("../glue/rtc-media.js")),
    ("rtc-dtmf.js", include_str!("../glue/rtc-dtmf.js")),
    ("rtc-transport.js", include_str!("../glue/rtc-transport.js")),
    ("rtc-channel.js", include_str!("../glue/rtc-channel.js")),
    ("rtc-stats.js", include_str!("../glue/rtc-stats.js")),
    (
        "rtc-connection.js",
        include_str!("../glue/rtc-connection.js"),
    ),
];

/// Our end of the glue, among the page's globals.
const HANDLE: &str = "__duet";

impl Page {
    fn new(world: World, deadline: Instant) -> Result<Self, PageError> {
        let engine = |error: rquickjs::Error| PageError::Engine(error.to_string());
        let runtime = Runtime::new().map_err(engine)?;
        runtime.set_max_stack_size(4 << 20);
        runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() > deadline)));
        let rejected = Rc::new(Cell::new(false));
        let any = rejected.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(
            move |ctx, promise, reason, handled| {
                any.set(true);
                let told = handle(&ctx)
                    .and_then(|handle| handle.get::<_, Function<'_>>("rejection"))
                    .and_then(|tell| tell.call::<_, ()>((promise, reason, handled)));
                // Before the glue is there nobody minds.
                let _ = told;
            },
        )));
        let context = Context::full(&runtime).map_err(engine)?;
        let world = Rc::new(RefCell::new(world));
        let page = Page {
            world,
            context,
            runtime,
            rejected,
        };
        page.context
            .with(|ctx| page.bind(&ctx).catch(&ctx).map_err(|e| e.to_string()))
            .map_err(PageError::Engine)?;
        Ok(page)
    }

    /// Evaluates the glue around its door to our side.
    fn bind(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        let world = self.world.clone();
        let door = move |operation: String, argument: String| -> String {
            world.borrow_mut().answer(&operation, &argument)
        };
        let door = Function::new(ctx.clone(), door)?;
        let checkpoint = Function::new(
            ctx.clone(),
            |ctx: Ctx<'_>| {
                while ctx.execute_pending_job() {}
            },
        )?;
        let mut glue = String::from("(function (global, ask, checkpoint) {\n\"use strict\";\n");
        glue.push_str(
            "const door = (operation, argument) => {\n\
             const { value, error } = JSON.parse(ask(operation, JSON.stringify(argument ?? null)));\n\
             if (error) throw exception(error);\n\
             return value;\n};\n",
        );
        for (name, source) in GLUE {
            glue.push_str(&format!("// {name}\n{source}\n"));
        }
        glue.push_str("})");
        let glue: Function<'_> = eval(ctx, "glue", &glue)?;
        glue.call((ctx.globals(), door, checkpoint))
    }

    /// Evaluates the file's scripts, in one go: the harness believes that all tests are known when the
    /// first promise settles.
    fn load(&self, scripts: &[Script]) -> Result<(), PageError> {
        let watch = |ctx: &Ctx<'_>| -> rquickjs::Result<()> {
            handle(ctx)?.get::<_, Function<'_>>("watch")?.call(())
        };
        let harness = scripts.iter().position(|script| script.is_harness());
        self.context.with(|ctx| {
            for (at, script) in scripts.iter().enumerate() {
                if let Err(error) = eval::<Value<'_>>(&ctx, &script.name, &script.source) {
                    self.report(&ctx, &error);
                }
                if at == harness.unwrap_or(0) {
                    let watching = watch(&ctx).catch(&ctx).map_err(|e| e.to_string());
                    watching.map_err(PageError::Engine)?;
                }
            }
            Ok(())
        })?;
        self.world.borrow().send_load();
        Ok(())
    }

    /// The event loop, until the harness is done, nothing can happen any more, or time is up.
    fn live(&mut self, user: &User, deadline: Instant) {
        let mut doings = user.doings();
        loop {
            self.checkpoint();
            self.render();
            if self.world.borrow().is_done() {
                return;
            }
            if Instant::now() > deadline {
                self.world.borrow_mut().give_up(HarnessStatus::Timeout);
                return;
            }
            let task = self.next_task(deadline);
            match task {
                Ok(task) => {
                    let told = self.world.borrow_mut().told(task);
                    self.deliver(&told);
                    self.deliver_rest();
                }
                Err(Idle::Late) => {}
                Err(Idle::Quiet) => match doings.next() {
                    Some(doing) => {
                        // Not while the world is borrowed: what follows may come back through the door.
                        let devices = self.world.borrow().devices();
                        doing.act(&devices);
                    }
                    None => {
                        self.world.borrow_mut().give_up(HarnessStatus::Timeout);
                        return;
                    }
                },
            }
        }
    }

    fn next_task(&self, deadline: Instant) -> Result<crate::agenda::Task, Idle> {
        let mut world = self.world.borrow_mut();
        let agenda: &mut Agenda = world.agenda();
        agenda.next(deadline)
    }

    /// What a task has to tell besides, with what promises bring about in between.
    fn deliver_rest(&self) {
        loop {
            let told = self.world.borrow_mut().told_besides();
            let Some(told) = told else { return };
            self.checkpoint();
            self.deliver(&told);
        }
    }

    /// [Updates the rendering](https://html.spec.whatwg.org/multipage/webappapis.html#update-the-rendering),
    /// if the page has something to show and it is time.
    fn render(&self) {
        let rendered = self.context.with(|ctx| {
            let render = handle(&ctx).and_then(|h| h.get::<_, Function<'_>>("render"));
            let rendered = render.and_then(|render| render.call::<_, bool>(()));
            rendered.unwrap_or_else(|error| {
                self.report(&ctx, &error);
                true
            })
        });
        if rendered {
            self.checkpoint();
        }
    }

    /// Runs what promises have brought about, and tells of those that nobody handled.
    fn checkpoint(&self) {
        loop {
            loop {
                match self.runtime.execute_pending_job() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let context = error.0;
                        context.with(|ctx| self.report(&ctx, &rquickjs::Error::Exception));
                    }
                }
            }
            if !self.rejected.replace(false) {
                return;
            }
            self.deliver(r#"{"task":"rejections"}"#);
        }
    }

    fn deliver(&self, task: &str) {
        self.context.with(|ctx| {
            let deliver = handle(&ctx).and_then(|h| h.get::<_, Function<'_>>("deliver"));
            let delivered = deliver.and_then(|deliver| deliver.call::<_, ()>((task,)));
            if let Err(error) = delivered {
                self.report(&ctx, &error);
            }
        });
    }

    /// Hands an uncaught exception to the page's own `error` event.
    fn report(&self, ctx: &Ctx<'_>, error: &rquickjs::Error) {
        let thrown = if error.is_exception() {
            ctx.catch()
        } else {
            match rquickjs::String::from_str(ctx.clone(), &error.to_string()) {
                Ok(text) => text.into_value(),
                Err(_) => return,
            }
        };
        let report = handle(ctx).and_then(|h| h.get::<_, Function<'_>>("reportError"));
        if report
            .and_then(|report| report.call::<_, ()>((thrown,)))
            .is_err()
        {
            // The engine was interrupted: the time is up, and the loop sees to it.
            ctx.catch();
        }
    }
}

/// Our end of the glue.
fn handle<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    ctx.globals().get(HANDLE)
}

/// Evaluates in sloppy mode, as a classic script is.
fn eval<'js, V: rquickjs::FromJs<'js>>(
    ctx: &Ctx<'js>,
    name: &str,
    source: &str,
) -> rquickjs::Result<V> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.into());
    ctx.eval_with_options(source, options)
}
