"""What ``--help`` says of the commands beside their options: what each does, and examples."""

EXAMPLES = """\
examples:
  gdcore demo
  gdcore inspect flights.csv
  gdcore explore flights.csv --target arr_delay --out limit.html
  gdcore train flights.csv --target arr_delay --missing drop \\
      --exclude tailnum,time_hour --plot flights.png
  gdcore predict flights.safetensors new-flights.csv --out delays.csv

gdcore COMMAND --help says more."""
TRAIN = """\
Trains a model on a table, and tests it on rows that it has not seen. Each score
stands beside the baseline's, who knows no column: it always says the mean, or
the most frequent class.

Text columns become categories (up to 100 values, or one for each 1,000 rows),
booleans 0 and 1; dates want --dates. Text that is numbers, as $1,200 or 70 kg,
becomes numbers, and is told.
Without --loss the target decides: text or two values are classes, anything else
is a number. Nothing needs scaling, and no learning rate has to be found. A
model, a picture or a page that is there is replaced, and that is told; a file
of the table never is."""
TRAIN_EXAMPLES = """\
examples:
  least squares; the model goes to houses.safetensors
      gdcore train houses.parquet --target price
  a picture, without two columns, without rows in which a value is missing
      gdcore train flights.csv --target arr_delay --missing drop \\
          --exclude tailnum,time_hour --plot flights.png
  absolute error, for targets with outliers
      gdcore train houses.parquet --target price --loss mae
  what 9 of 10 prices stay below
      gdcore train houses.parquet --target price --loss quantile:0.9
  standard errors and p-values of the weights, whatever the rows' variances are
      gdcore train houses.parquet --target price --summary --cov-type HC1
  two classes, with a penalty; a page with pictures
      gdcore train mail.csv --target spam --l2 0.01 --report spam.html
  as few columns as predict well: the lasso's penalty by cross-validation, drawn
      gdcore train houses.parquet --target price --l1 cv --plot houses.png
  all tables of a folder; integers are classes
      gdcore train parts/ --target y --loss softmax
  how good that is, from ten folds; classes of 1% have their share in each
      gdcore train mail.csv --target spam --l2 0.01 --cv 10 --stratify
  tested on the last fifth by a date
      gdcore train sales.csv --target sold --split time:day
  a network with two hidden layers
      gdcore train wine.csv --target quality --model mlp:64,32
  a long training, which the same line goes on with after a crash
      gdcore train big.csv --target y --loss mae --checkpoint run.ckpt --resume

exit status: 0; 2 for a mistake that you can mend, told in one line; 1 for one
of gdcore's; 130 after Ctrl-C, with the checkpoint kept."""
PREDICT = """\
Predicts a table's rows. Columns are found by their names, in any order. What
--missing was in training holds here: missing values are filled in as then, in
text columns where training had such, and rows that would be dropped have no
prediction: NaN in CSV, null in Parquet. Every row of the table is a row of the
predictions. Where the table has the target, scores are told. Classes and
columns that are kept are written as they are; text that begins with =, +, - or
@ is a formula for a spreadsheet that opens the CSV: --safe-cells keeps it from
that."""
PREDICT_EXAMPLES = """\
examples:
  gdcore predict flights.safetensors new-flights.csv --out delays.csv
  with columns of the table beside the predictions
      gdcore predict flights.safetensors new-flights.csv --keep flight,dest \\
          --out delays.csv"""
INSPECT = """\
Of a table: its columns, its spectrum, the largest learning rate, the worst
columns. Rows in which a value is missing and columns that are no numbers and
no categories are left out, and named. Of a model: how it was made, and its
weights."""
INSPECT_EXAMPLES = """\
examples:
  gdcore inspect flights.csv --target arr_delay
  gdcore inspect flights.safetensors"""
EXPLORE = """\
Writes a page for a browser on which gradient descent is watched: the line
through a column, the loss over its weight and bias with the path, the loss
curve, and a slider for the learning rate with the limit drawn on it. Buttons
centre and scale the column, and so move the limit. It needs no network. Rows
in which a value is missing and columns that are no numbers and no categories
are left out, and named."""
EXPLORE_EXAMPLES = """\
examples:
  gdcore explore flights.csv --target arr_delay --out limit.html
  beginning with a certain column
      gdcore explore houses.csv --target price --column area --out limit.html"""
DEMO = """\
Trains on NIST's Norris calibration data and compares with the certified
coefficients, then shows what the Celsius to Fahrenheit lesson really learns.
Needs no argument and no other package."""
