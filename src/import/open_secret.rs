//! A password among the words of a command. A program that is run is given it in its arguments, so it stands in the policy.

use super::check::split;

/// What is said of a check whose policy has one.
pub(super) const NOTE: &str = "there is a password in it, which stands in the policy too: only its owner may read that file. Better is a \
                               file of secrets/, with exec's env: #{ MYSQL_PWD: secret(\"db\") } for instance";

/// Options that are followed by one, behind `=` or in the next word.
const OPTIONS: [&str; 7] = ["--password", "--passwd", "--pass", "--http-password", "--token", "--secret", "--auth"];

/// The option of a program, by how its name begins; `true`: the password is in the same word.
const SHORT: [(&str, &str, bool); 9] = [
    ("mysql", "-p", true),
    ("mariadb", "-p", true),
    ("redis-cli", "-a", false),
    ("ldap", "-w", false),
    ("sshpass", "-p", true),
    ("sshpass", "-p", false),
    ("curl", "-u", false),
    ("curl", "--user", false),
    ("mongo", "-p", false),
];

/// Every one that can be told by its option, by the name of its variable or by its place in an address.
pub(super) fn passwords(command: &str) -> Vec<String> {
    let words = split(command).unwrap_or_default();
    let mut found = Vec::new();
    let mut program = "";
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).filter(|next| !next.starts_with('-'));
        let base = word.rsplit('/').next().unwrap_or(word);
        if SHORT.iter().any(|(name, ..)| base.starts_with(name)) {
            program = base;
        }
        found.extend(OPTIONS.iter().filter(|option| word == *option).filter_map(|_| next.cloned()));
        if let Some((name, value)) = word.split_once('=')
            && (OPTIONS.contains(&name) || is_variable_of_one(name))
        {
            found.push(value.to_owned());
        }
        for (_, option, inside) in SHORT.iter().filter(|(name, ..)| !program.is_empty() && program.starts_with(name)) {
            match word.strip_prefix(option) {
                Some("") if !inside => found.extend(next.cloned()),
                Some(rest) if *inside => found.push(rest.to_owned()),
                _ => {}
            }
        }
        found.extend(of_address(word).or_else(|| of_header(word)).map(str::to_owned));
        if word.contains(' ') {
            // A command line for a shell.
            found.extend(passwords(word));
        }
    }
    found.retain(|password| !password.is_empty());
    found
}

/// `MYSQL_PWD`, `PGPASSWORD`
fn is_variable_of_one(name: &str) -> bool {
    let capitals = name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
    capitals && ["PASS", "PWD", "TOKEN", "SECRET"].iter().any(|part| name.contains(part)) && name != "PWD"
}

/// `scheme://user:password@host`
fn of_address(word: &str) -> Option<&str> {
    let (authority, _) = word.split_once("://")?.1.split_once('@')?;
    let (_, password) = authority.split_once(':')?;
    (!password.contains('/')).then_some(password)
}

/// `Authorization: Bearer …`
fn of_header(word: &str) -> Option<&str> {
    let (name, value) = word.split_once(':')?;
    name.to_ascii_lowercase().ends_with("authorization").then_some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_by_where_it_stands() {
        for (command, password) in [
            ("/usr/bin/mysqladmin -uroot -pgeheim123 ping", "geheim123"),
            ("timeout 2 mysql --password=geheim123 -e 'select 1'", "geheim123"),
            ("/usr/bin/redis-cli -a geheim123 ping", "geheim123"),
            ("/usr/bin/thing --token geheim123", "geheim123"),
            ("env PGPASSWORD=geheim123 psql -c 'select 1'", "geheim123"),
            ("/usr/bin/psql postgres://me:geheim123@db/x", "geheim123"),
            ("sshpass -p geheim123 ssh db true", "geheim123"),
            ("sshpass -pgeheim123 ssh db true", "geheim123"),
            ("/bin/sh -c 'mysqladmin -uroot -pgeheim123 ping'", "geheim123"),
            ("curl --compressed -u me:geheim123 http://10.0.0.1/", "me:geheim123"),
            ("curl --compressed -H 'Authorization: Bearer geheim123' http://10.0.0.1/", "Bearer geheim123"),
            ("wget --http-password=geheim123 http://10.0.0.1/", "geheim123"),
        ] {
            assert_eq!(passwords(command), [password], "{command}");
        }
        for command in
            ["/bin/ping -c 1 10.0.0.1", "mkdir -p /run/x", "curl http://10.0.0.1:80/a@b", "redis-cli -a", "mysql -p"]
        {
            assert_eq!(passwords(command), Vec::<String>::new(), "{command}");
        }
    }
}
