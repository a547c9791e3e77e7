//! Guards of what is under way beside the driver: should it break off, the driver hears so.

use super::Shell;
use std::sync::Weak;
use wholly_core::branch::Answer;
use wholly_core::ids::{CallId, Text};
use wholly_core::input::Input;

/// A look-up under way: should it break off, the driver hears that nothing can be said.
pub(super) struct Reading {
    pub(super) shell: Weak<Shell>,
    pub(super) input: Input,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(shell) = self.shell.upgrade() {
            shell.input(std::mem::replace(&mut self.input, Input::Woken));
        }
    }
}

/// A call under way: should its task die, the driver hears that nothing is known.
pub(super) struct Sending {
    pub(super) shell: Weak<Shell>,
    pub(super) call: CallId,
}

impl Sending {
    pub(super) fn finished(mut self) {
        self.shell = Weak::new();
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(shell) = self.shell.upgrade() {
            let answer = Answer::Unknown { detail: Text::cut("the call was broken off") };
            shell.input(Input::Answered { call: self.call, answer });
        }
    }
}
