//! A value of the configuration as it was written: text, number, switch or list.

/// A value as it was written, before its key gives it a meaning.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A TOML string, or anything from environment and flags.
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<String>),
    /// Something no key takes.
    Odd,
}

impl Value {
    pub(super) fn from_toml(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Value::Text(text.clone()),
            toml::Value::Integer(number) => {
                u64::try_from(*number).map_or(Value::Odd, Value::Number)
            }
            toml::Value::Boolean(switch) => Value::Switch(*switch),
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<_>>>().map_or(Value::Odd, Value::List)
            }
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => Value::Odd,
        }
    }

    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Odd => {
                Err("must be a text".to_owned())
            }
        }
    }

    pub(super) fn number(self) -> Result<u64, String> {
        let failed = || "must be a whole number that is not negative".to_owned();
        match self {
            Value::Number(number) => Ok(number),
            Value::Text(text) => text.replace('_', "").parse().map_err(|_| failed()),
            Value::Switch(_) | Value::List(_) | Value::Odd => Err(failed()),
        }
    }

    pub(super) fn switch(self) -> Result<bool, String> {
        let failed = || "must be true or false".to_owned();
        match self {
            Value::Switch(switch) => Ok(switch),
            Value::Text(text) => text.parse().map_err(|_| failed()),
            Value::Number(_) | Value::List(_) | Value::Odd => Err(failed()),
        }
    }

    pub(super) fn list(self) -> Result<Vec<String>, String> {
        match self {
            Value::List(list) => Ok(list),
            Value::Text(text) => {
                let words = text.split([',', ' ']).filter(|word| !word.is_empty());
                Ok(words.map(str::to_owned).collect())
            }
            Value::Number(_) | Value::Switch(_) | Value::Odd => {
                Err("must be a list of texts".to_owned())
            }
        }
    }

    pub(super) fn one_of<T: Copy>(self, known: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        match known.iter().find(|(name, _)| *name == text) {
            Some((_, found)) => Ok(*found),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                Err(format!("is {text:?}; it must be one of: {}", names.join(", ")))
            }
        }
    }
}
