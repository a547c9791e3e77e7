//! `wholly schema`: the tables that a participant's database needs.

use crate::arguments::{Dialect, Schema};
use crate::complaint::{Complaint, Kind, chain};
use wholly::schema::{self, SchemaError};

/// Prints or creates them.
pub(crate) async fn run(schema: Schema) -> Result<(), Complaint> {
    match schema {
        Schema::Print { dialect } => {
            say!("{}", schema::print(spelled(dialect)).trim_end());
            Ok(())
        }
        Schema::Apply { database } => {
            schema::apply(&database).await.map_err(|error| complaint(&error))?;
            say!("the tables are there");
            Ok(())
        }
    }
}

fn spelled(dialect: Dialect) -> schema::Dialect {
    match dialect {
        Dialect::Sqlite => schema::Dialect::Sqlite,
        Dialect::Postgres => schema::Dialect::Postgres,
        Dialect::Mysql => schema::Dialect::Mysql,
    }
}

fn complaint(error: &SchemaError) -> Complaint {
    let print =
        "put what `wholly schema print` says for your database among your migrations instead";
    match error {
        SchemaError::Unknown { .. } => {
            Complaint::new(Kind::Usage, chain(error)).means("no database was touched").advice(print)
        }
        SchemaError::Database { .. } => Complaint::new(Kind::NotDone, chain(error))
            .means("tables that were there are as they were; some may be missing")
            .advice(format!(
                "see that the database exists and its role may create tables, or {print}"
            )),
    }
}
